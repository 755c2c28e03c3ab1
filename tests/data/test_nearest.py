"""Nearest pixels tile by tile: those of one transform of the whole, ties included."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from vesselforge.data import nearest as module
from vesselforge.data.nearest import distances, nearest
from vesselforge.data.phantoms.draw import make_phantom

Mask = NDArray[np.bool_]


def whole(ground: Mask, asked: Mask) -> NDArray[np.int32]:
    found = ndimage.distance_transform_edt(~ground, return_distances=False, return_indices=True)
    return np.asarray(found[:, asked])


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TILE", 24)
    monkeypatch.setattr(module, "MARGIN", 4)


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.98])
@pytest.mark.parametrize("shape", [(97, 61), (25, 24), (1, 80), (60, 1)])
def test_any_ground(share: float, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        ground = rng.random(shape) < share
        ground[rng.integers(shape[0]), rng.integers(shape[1])] = True
        for asked in (~ground, np.ones(shape, bool), rng.random(shape) < 0.05):
            np.testing.assert_array_equal(nearest(ground, asked), whole(ground, asked))


def test_vessels_and_their_lines() -> None:
    for factor in (1, 3):
        mask = np.kron(make_phantom(2, 96).mask, np.ones((factor, factor), bool))
        lines = skeletonize(mask)
        np.testing.assert_array_equal(nearest(lines, mask), whole(lines, mask))
        far = ndimage.distance_transform_edt(mask)
        for asked in (mask, lines):
            np.testing.assert_array_equal(distances(mask, asked), far[asked])


def test_far_ground_is_found() -> None:
    mask = np.ones((200, 150), bool)
    mask[3, 5] = False
    far = ndimage.distance_transform_edt(mask)
    np.testing.assert_array_equal(distances(mask, mask), far[mask])
    assert nearest(~mask, np.zeros_like(mask)).shape == (2, 0)
