"""What the channels of an image mean, and how one meaning becomes another.

Pixels here are `[H, W, C]`, uint8 or uint16. Alpha, where there is one, is the last channel. Files
hold colour and alpha apart ("straight"); networks are shown colour premultiplied by alpha, or they
would learn the colours that hide under transparent pixels.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import DataError

Kind = Literal["rgb", "grey", "rgb+mask", "native"]
Pixels = NDArray[Any]
"""uint8 or uint16."""

LUMA = np.array([19595, 38470, 7471], dtype=np.uint64)
"""Rec. 601 weights × 65536, as Pillow's mode L has them."""
NAMES = {(1, False): "grey", (2, True): "grey + alpha", (3, False): "RGB", (4, True): "RGBA"}


@dataclass(frozen=True)
class Channels:
    """What a generator draws. kind: the setting `generator.channels`; count: channels of the
    network; bits: 8 or 16, of the files; alpha: the last channel is alpha, colour premultiplied."""

    kind: Kind = "rgb"
    count: int = 3
    bits: Literal[8, 16] = 8
    alpha: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain values for a description; `Channels(**values)` reads them."""
        return asdict(self)


def named(count: int, bits: int, alpha: bool) -> str:
    """Return what people call such an image: `RGB 8-bit`, `5 channels 16-bit`."""
    return f"{NAMES.get((count, alpha), f'{count} channels')} {bits}-bit"


def bits_of(pixels: Pixels) -> Literal[8, 16]:
    """Return the bits per channel."""
    return 16 if pixels.dtype == np.uint16 else 8


def premultiplied(pixels: Pixels) -> Pixels:
    """Multiply colour by alpha, the last channel, with rounding."""
    top = int(np.iinfo(pixels.dtype).max)
    wide = pixels.astype(np.uint32)
    colour = (wide[..., :-1] * wide[..., -1:] + top // 2) // top
    return np.concatenate([colour.astype(pixels.dtype), pixels[..., -1:]], axis=-1)


def straight(pixels: Pixels) -> Pixels:
    """Undo `premultiplied`: divide colour by alpha, at most full colour; black where alpha is 0."""
    top = int(np.iinfo(pixels.dtype).max)
    wide = pixels.astype(np.uint32)
    alpha = wide[..., -1:]
    safe = np.maximum(alpha, 1)
    colour = np.minimum((wide[..., :-1] * top + safe // 2) // safe, top)
    colour = np.where(alpha > 0, colour, 0)
    return np.concatenate([colour.astype(pixels.dtype), pixels[..., -1:]], axis=-1)


def as_rgb(pixels: Pixels, alpha: bool, name: str) -> Pixels:
    """Return `[H, W, 3]` of the same depth: grey repeated, alpha laid on black and dropped.

    Raises DataError naming `name` for channels that are neither grey nor colour.
    """
    colour = _without_alpha(pixels, alpha, name)
    return colour if colour.shape[2] == 3 else np.repeat(colour, 3, axis=2)


def as_grey(pixels: Pixels, alpha: bool, name: str) -> Pixels:
    """Return `[H, W, 1]` of the same depth: Rec. 601 luma, alpha laid on black and dropped."""
    colour = _without_alpha(pixels, alpha, name)
    if colour.shape[2] == 1:
        return colour
    luma = (colour.astype(np.uint64) @ LUMA + 0x8000) >> np.uint64(16)
    return luma.astype(pixels.dtype)[..., None]


def eight_bit(pixels: Pixels) -> NDArray[np.uint8]:
    """Return 8 bits per channel: 65535 becomes 255."""
    return (pixels // 257).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def sixteen_bit(pixels: Pixels) -> NDArray[np.uint16]:
    """Return 16 bits per channel: 255 becomes 65535, the same value to a network."""
    return pixels if pixels.dtype == np.uint16 else pixels.astype(np.uint16) * np.uint16(257)


def _without_alpha(pixels: Pixels, alpha: bool, name: str) -> Pixels:
    colour = premultiplied(pixels)[..., :-1] if alpha else pixels
    if colour.shape[2] not in (1, 3):
        raise DataError(
            f"{name}: found {named(pixels.shape[2], bits_of(pixels), alpha)}, which are neither "
            "grey nor colour; set generator.channels: native, or convert the file"
        )
    return colour
