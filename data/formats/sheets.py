"""Contact sheets: many small images in one picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHEET_PIXELS = 1024
"""Greatest width, unless one image is wider or the number of columns is given."""


def grid_of(images: NDArray[np.uint8], columns: int | None = None) -> NDArray[np.uint8]:
    """Arrange `[N, C, H, W]` in rows, `[rows·H, columns·W, C]`; missing places are black.

    columns: default at most eight, and as many as SHEET_PIXELS hold."""
    n, c, h, w = images.shape
    columns = columns_of(n, w) if columns is None else columns
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, c, h, w), dtype=np.uint8)
    sheet[:n] = images
    sheet = sheet.reshape(rows, columns, c, h, w).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(sheet.reshape(rows * h, columns * w, c))


def columns_of(count: int, width: int) -> int:
    """Columns of a sheet of `count` images, `width` pixels wide each."""
    return max(1, min(count, 8, SHEET_PIXELS // width))
