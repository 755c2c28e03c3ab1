"""Contact sheets: many small images in one picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.util import montage

SHEET_PIXELS = 1024
"""Greatest width, unless one image is wider or the number of columns is given."""


def grid_of(images: NDArray[np.uint8], columns: int | None = None) -> NDArray[np.uint8]:
    """Arrange `[N, C, H, W]` in rows, `[rows·H, columns·W, C]`; missing places are black.

    columns: default at most eight, and as many as SHEET_PIXELS hold."""
    n, c, _, w = images.shape
    columns = columns_of(n, w) if columns is None else columns
    shape = -(-n // columns), columns
    return np.asarray(montage(images, fill=[0] * c, grid_shape=shape, channel_axis=1))


def columns_of(count: int, width: int) -> int:
    """Columns of a sheet of `count` images, `width` pixels wide each."""
    return max(1, min(count, 8, SHEET_PIXELS // width))
