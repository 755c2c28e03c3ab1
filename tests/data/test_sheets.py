"""Contact sheets."""

from __future__ import annotations

import numpy as np

from vesselforge.data.formats.sheets import grid_of


def test_grid_places_images_in_rows() -> None:
    images = np.zeros((3, 3, 512, 512), np.uint8) + np.uint8([[1], [2], [3]])[:, :, None, None]
    sheet = grid_of(images)
    assert sheet.shape == (1024, 1024, 3)
    assert sheet[0, 0, 0] == 1
    assert sheet[0, 512, 0] == 2
    assert sheet[512, 0, 0] == 3
    assert sheet[512, 512, 0] == 0
    assert grid_of(images, columns=3).shape == (512, 1536, 3)
