"""Contact sheets: many small images in one PNG, whatever their channels.

Pixels follow the truncation rule of samples everywhere. The published code rounds in its grids
alone, so that a sheet and the single files of the same seeds differ there by one level.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from configs.settings import SampleSettings
from generator.draw import Sampler, generate, latents, latents_of
from generator.networks import Generator
from generator.views import to_uint8

__all__ = [
    "generate", "grid_of", "latents", "latents_of", "official_grid", "pictures", "sample_grid",
    "sheet_columns",
]  # fmt: skip

GRID_PIXELS = 1024
"""Greatest width of a training's contact sheet, unless one image is wider."""
GRID_IMAGES = 32
Fourth = Literal["alpha", "mask", "plain"]
"""What a fourth channel is: coverage, a vessel mask, or just another measurement."""
CHECKER = (204, 255)
"""Greys of the squares behind transparent pixels."""


def official_grid(height: int, width: int) -> tuple[int, int]:
    """Return (columns, rows) of the published snapshot sheets: about 7680 x 4320 pixels."""
    return min(max(7680 // width, 7), 32), min(max(4320 // height, 4), 32)


def sheet_columns(count: int, height: int, width: int) -> int:
    """Return how many columns make a sheet of `count` images about as wide as a screen, 16 : 9;
    never more than `official_grid` has."""
    wide = math.ceil(math.sqrt(count * 16 / 9 * height / width))
    return max(1, min(wide, count, official_grid(height, width)[0]))


def sample_grid(
    generator: Generator,
    seed: int,
    psi: float = 1.0,
    labels: ArrayLike | None = None,
    fourth: Fourth = "plain",
) -> NDArray[np.uint8]:
    """Return a contact sheet `[H, W, 3]` of the same fixed latents at every call, noise const.

    labels: `[n, c_dim]`, label vectors of the training images; row r of the sheet shows those of
    image r. A conditional generator without them shows class r in row r.
    """
    side = generator.img_resolution
    count = max(4, min(GRID_IMAGES, (GRID_PIXELS // side) ** 2))
    columns = _columns(count, side)
    table = np.eye(generator.c_dim) if labels is None else np.asarray(labels)
    found = []
    for start in range(0, count, columns):
        row = range(seed + start, seed + min(start + columns, count))
        label = table[start // columns % len(table)].tolist() if generator.c_dim else None
        sampler = Sampler(generator, SampleSettings(psi=psi, label=label))
        found.append(to_uint8(sampler.draw(row)).numpy())
    return grid_of(pictures(np.concatenate(found), fourth), columns)


def pictures(images: NDArray[np.integer], fourth: Fourth = "plain") -> NDArray[np.uint8]:
    """Return `[N, 3, H, W']` uint8 to look at, of `[N, C, H, W]` with 8 or 16 bits.

    Grey is repeated; alpha is laid over a chequered ground; what is neither colour nor alpha is
    shown in grey beside it (W' = W · planes): a mask right of its image, two channels as a pair.
    """
    assert images.dtype in (np.uint8, np.uint16), images.dtype
    if images.dtype == np.uint16:
        images = images >> 8
    planes = images.astype(np.uint8)
    c = planes.shape[1]
    if c == 4 and fourth == "alpha":
        return _over_checker(planes)
    colour = planes[:, :3] if c >= 3 else np.repeat(planes[:, :1], 3, axis=1)
    further = planes[:, 3:] if c >= 3 else planes[:, 1:]
    beside = [np.repeat(plane[:, None], 3, axis=1) for plane in further.swapaxes(0, 1)]
    return np.concatenate([colour, *beside], axis=3)


def _over_checker(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Composite straight (not premultiplied) RGBA; squares are an eighth of the image."""
    h, w = rgba.shape[2:]
    square = max(1, h // 8)
    y, x = np.mgrid[:h, :w] // square
    ground = np.where((y + x) % 2, *CHECKER)
    alpha = rgba[:, 3:].astype(np.float32) / 255
    mixed = rgba[:, :3] * alpha + ground * (1 - alpha)
    return np.rint(mixed).astype(np.uint8)


def grid_of(images: NDArray[np.uint8], columns: int | None = None) -> NDArray[np.uint8]:
    """Arrange `[N, C, H, W]` in rows, `[rows·H, columns·W, C]`; missing places are black."""
    n, c, h, w = images.shape
    columns = _columns(n, w) if columns is None else columns
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, c, h, w), dtype=np.uint8)
    sheet[:n] = images
    sheet = sheet.reshape(rows, columns, c, h, w).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(sheet.reshape(rows * h, columns * w, c))


def _columns(count: int, width: int) -> int:
    return max(1, min(count, 8, GRID_PIXELS // width))
