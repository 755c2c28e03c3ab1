"""Images of any size in bounded memory: overlapping tiles, cropped, then blended.

A tile's rim does not see what lies beyond it, so a strip of `context` is predicted and thrown
away; what is left overlaps by at least `blend`, where one tile fades into the next. Tiles start at
multiples of the network's `multiple`, so that pooling cuts every tile where it cuts the whole.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.ranges import is_number

Run = Callable[[Tensor], Tensor]
"""[N, 3, H, W] float32 in [0, 1] → vessel probabilities [N, C, H, W], both on the CPU."""
Notify = Callable[[float], None]
"""Told the share in (0, 1] of the tiles that are done; may raise to stop."""
SIDE = 1344
"""Longest side of a tile in pixels, unless the user has another; an image with no longer side stays
whole. SA-UNet takes 0.6 kB a pixel, so this keeps the whole program under 1.5 GB."""
CONTEXT = 96
"""Pixels that are predicted and thrown away where a tile ends inside the image; SA-UNet sees at
most 89 pixels far, so that its tiles agree to rounding."""
BLEND = 64
"""Least overlap of what is left, in pixels."""


def shared_pixels(side: int, multiple: int) -> int:
    """Pixels that neighbouring tiles share, at least.

    Raises ConfigError when that is more than half of a tile.
    """
    shared = 2 * CONTEXT + BLEND + multiple  # `multiple`: starts are rounded to it
    least = _up(2 * shared, multiple)
    if not is_number(side, least, whole=True):
        raise ConfigError(
            f"tile: found {side!r} pixels, expected at least {least}: neighbouring tiles share "
            f"{shared} of them"
        )
    return shared


def spans(length: int, multiple: int, side: int) -> list[tuple[slice, NDArray[np.float32]]]:
    """Cut an axis: the pixels of every tile, and their weights, 0 in its context. At every pixel
    the weights of all tiles add up to one.

    As few tiles as their `side` allows, and these no larger than they must be. Starts are multiples
    of `multiple`; only the last tile may have another length.
    """
    whole = _up(length, multiple)  # the network pads with zeros up to here, in the last tile too
    most = side // multiple * multiple
    if whole <= most:
        return [(slice(0, length), np.ones(length, np.float32))]
    shared = shared_pixels(side, multiple)
    count = math.ceil((whole - shared) / (most - shared))
    size = _up(math.ceil((whole + (count - 1) * shared) / count), multiple)
    steps = (whole - size) // multiple
    starts = [i * steps // (count - 1) * multiple for i in range(count)]
    at, weights = np.arange(length) + 0.5, np.ones((count, length))
    for i, (before, start) in enumerate(itertools.pairwise(starts)):
        low, high = start + CONTEXT, before + size - CONTEXT  # sin² and its mirror image make one
        weights[i] *= np.sin(np.pi / 2 * np.clip((high - at) / (high - low), 0, 1)) ** 2
        weights[i + 1] *= np.sin(np.pi / 2 * np.clip((at - low) / (high - low), 0, 1)) ** 2
    weights /= weights.sum(0)  # of three tiles they make less
    pixels = [slice(start, min(start + size, length)) for start in starts]
    return [(here, w[here].astype(np.float32)) for here, w in zip(pixels, weights, strict=True)]


def _up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def tiled(
    run: Run,
    image: NDArray[np.uint8],
    multiple: int,
    side: int = SIDE,
    notify: Notify = lambda share: None,
) -> NDArray[np.float32]:
    """Vessel probabilities [C, H, W] of an RGB image [H, W, 3], whole or tile by tile.

    multiple: of the network. Memory beyond the image and its map is that of one tile.
    """
    height, width = image.shape[:2]
    tiles = list(itertools.product(spans(height, multiple, side), spans(width, multiple, side)))
    prob: Any = None
    for number, ((rows, by_row), (columns, by_column)) in enumerate(tiles, start=1):
        tile = run(as_input(image[rows, columns]))[0].numpy()
        if prob is None:
            prob = np.zeros((len(tile), height, width), np.float32)
        prob[:, rows, columns] += by_row[:, None] * by_column * tile
        notify(number / len(tiles))
    return np.asarray(prob)


def as_input(image: NDArray[np.uint8]) -> Tensor:
    """[H, W, 3] uint8 → [1, 3, H, W] float32 in [0, 1]: division by 255 and nothing else."""
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
