"""Images of any size in bounded memory: overlapping tiles, cropped, then blended.

A tile's rim does not see what lies beyond it, so a strip of `context` is predicted and thrown
away; what is left overlaps by at least `blend`, where one tile fades into the next. Tiles start at
multiples of the network's `multiple`, so that pooling cuts every tile where it cuts the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesselforge.configs.errors import ConfigError

Run = Callable[[Tensor], Tensor]
"""[N, 3, H, W] float32 in [0, 1] → vessel probabilities [N, C, H, W], both on the CPU."""
Notify = Callable[[float], None]
"""Told the share in (0, 1] of the tiles that are done; may raise to stop."""


@dataclass(frozen=True)
class Tiling:
    """How images are cut. All in pixels.

    side: longest side of a tile; an image with no longer side stays whole. SA-UNet takes 0.6 kB a
    pixel, so 1344 keeps the whole program under 1.5 GB. context: predicted and thrown away where
    a tile ends inside the image; SA-UNet sees at most 89 pixels far, so that its tiles
    agree to rounding. blend: least overlap of what is left.
    """

    side: int = 1344
    context: int = 96
    blend: int = 64

    def shared(self, multiple: int) -> int:
        """Pixels that neighbouring tiles share, at least.

        Raises ConfigError when that is more than half of a tile.
        """
        shared = 2 * self.context + self.blend + multiple  # `multiple`: starts are rounded to it
        if self.side // multiple * multiple < 2 * shared:
            raise ConfigError(
                f"tile: found {self.side} pixels, expected at least {_up(2 * shared, multiple)}: "
                f"neighbouring tiles share {shared} of them"
            )
        return shared


@dataclass(frozen=True)
class Span:
    """A tile along one axis: input pixels [start, stop), of which [low, high) count, by weight."""

    start: int
    stop: int
    low: int
    high: int
    weight: NDArray[np.float32]  # [high - low]


def spans(length: int, multiple: int, tiling: Tiling) -> list[Span]:
    """Cut an axis. The weights of all spans add up to one at every pixel.

    As few tiles as `side` allows, and these no larger than they must be. Starts are multiples of
    `multiple`; only the last tile may have another length.
    """
    whole = _up(length, multiple)  # the network pads with zeros up to here, in the last tile too
    side = tiling.side // multiple * multiple
    if whole <= side:
        return [Span(0, length, 0, length, np.ones(length, np.float32))]
    shared = tiling.shared(multiple)
    count = math.ceil((whole - shared) / (side - shared))
    size = _up(math.ceil((whole + (count - 1) * shared) / count), multiple)
    steps = (whole - size) // multiple
    starts = [i * steps // (count - 1) * multiple for i in range(count)]
    lows = [s + tiling.context if s else 0 for s in starts]
    highs = [s + size - tiling.context for s in starts[:-1]] + [length]
    raw = [
        _window(low, high, highs[i - 1] if i else None, lows[i + 1] if i + 1 < count else None)
        for i, (low, high) in enumerate(zip(lows, highs, strict=True))
    ]
    total = np.zeros(length)
    for low, high, weight in zip(lows, highs, raw, strict=True):
        total[low:high] += weight
    return [
        Span(start, min(start + size, length), low, high, (weight / total[low:high]).astype("f4"))
        for start, low, high, weight in zip(starts, lows, highs, raw, strict=True)
    ]


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _window(low: int, high: int, before: int | None, after: int | None) -> NDArray[np.float64]:
    """Weights over [low, high): sin² up to where the tile before ends, down from where the next
    one begins. sin² and its mirror image add up to one."""
    at = np.arange(low, high) + 0.5
    weight = np.ones(high - low)
    if before is not None:
        weight *= np.sin(np.pi / 2 * np.clip((at - low) / (before - low), 0, 1)) ** 2
    if after is not None:
        weight *= np.sin(np.pi / 2 * np.clip((high - at) / (high - after), 0, 1)) ** 2
    return weight


def tiled(
    run: Run,
    image: NDArray[np.uint8],
    multiple: int,
    tiling: Tiling,
    notify: Notify | None = None,
) -> NDArray[np.float32]:
    """Vessel probabilities [C, H, W] of an RGB image [H, W, 3], whole or tile by tile.

    multiple: of the network. Memory beyond the image and its map is that of one tile.
    """
    height, width = image.shape[:2]
    rows, columns = spans(height, multiple, tiling), spans(width, multiple, tiling)
    prob: NDArray[np.float32] | None = None
    for number, (row, column) in enumerate(((r, c) for r in rows for c in columns), start=1):
        tile = run(as_input(image[row.start : row.stop, column.start : column.stop]))[0]
        if prob is None:
            prob = np.zeros((len(tile), height, width), np.float32)
        kept = tile.numpy()[
            :,
            row.low - row.start : row.high - row.start,
            column.low - column.start : column.high - column.start,
        ]
        weight = row.weight[:, None] * column.weight
        prob[:, row.low : row.high, column.low : column.high] += weight * kept
        if notify is not None:
            notify(number / (len(rows) * len(columns)))
    assert prob is not None
    return prob


def as_input(image: NDArray[np.uint8]) -> Tensor:
    """[H, W, 3] uint8 → [1, 3, H, W] float32 in [0, 1]: division by 255 and nothing else."""
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
