"""What the channels of an image mean, and how one meaning becomes another.

Pixels here are `[H, W, C]`, uint8 or uint16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["rgb", "grey", "rgb+mask"]
Pixels = NDArray[Any]
"""uint8 or uint16."""

LUMA = np.array([19595, 38470, 7471], dtype=np.uint64)
"""Rec. 601 weights × 65536, as Pillow's mode L has them."""


@dataclass(frozen=True)
class Channels:
    """What a generator draws. kind: the setting `generator.channels`; count: channels of the
    network."""

    kind: Kind = "rgb"
    count: int = 3


def as_rgb(pixels: Pixels) -> Pixels:
    """Return grey or RGB `[H, W, 1 or 3]` as `[H, W, 3]` of the same depth."""
    return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)


def as_grey(pixels: Pixels) -> Pixels:
    """Return grey or RGB as `[H, W, 1]` of the same depth: Rec. 601 luma."""
    if pixels.shape[2] == 1:
        return pixels
    luma = (pixels.astype(np.uint64) @ LUMA + 0x8000) >> np.uint64(16)
    return luma.astype(pixels.dtype)[..., None]


def eight_bit(pixels: Pixels) -> NDArray[np.uint8]:
    """Return 8 bits per channel: 65535 becomes 255."""
    return (pixels // 257).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
