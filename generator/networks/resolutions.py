"""The resolutions that both networks go through, and what each of them is like."""

from __future__ import annotations


def block_resolutions(img_resolution: int) -> list[int]:
    """Return 4, 8, …, R; ValueError unless R is a power of two of at least 4."""
    if img_resolution < 4 or img_resolution & (img_resolution - 1):
        raise ValueError(f"the resolution must be a power of two from 4 up, not {img_resolution}")
    return [2**i for i in range(2, img_resolution.bit_length())]


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    """Return the number of feature maps at one resolution."""
    return max(1, min(channel_base // resolution, channel_max))


def reduced_resolutions(img_resolution: int) -> list[int]:
    """Return the resolutions that may compute in 16 bits: the four highest, never 4 x 4.

    They hold nearly all of the arithmetic, and errors made in the coarse ones would be amplified.
    """
    return block_resolutions(img_resolution)[1:][-4:]
