"""Thinning finds the centre lines that scikit-image finds, to the pixel."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.data.thinning import thinned


def same(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(thinned(mask), skeletonize(mask))


def test_every_neighbourhood() -> None:
    """All patterns of 3×3, apart from each other in one picture, and as large as an image."""
    bits = (np.arange(512)[:, None] >> np.arange(9)) & 1
    patterns = np.pad(bits.reshape(-1, 3, 3).astype(bool), ((0, 0), (1, 1), (1, 1)))
    same(np.concatenate(np.concatenate(patterns.reshape(16, 32, 5, 5), 1), 1))
    for pattern in patterns[::7, 1:-1, 1:-1]:
        same(pattern)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97])
def test_noise(share: float) -> None:
    same(np.random.default_rng(1).random((150, 90)) < share)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 2), (31, 40)])
@pytest.mark.parametrize("value", [False, True])
def test_all_and_nothing(shape: tuple[int, int], value: bool) -> None:
    same(np.full(shape, value))


def test_vessels_of_any_width() -> None:
    for factor in (1, 3):
        mask = np.kron(make_phantom(2, 96).mask, np.ones((factor, factor), bool))
        asked = mask.copy()
        same(mask)
        np.testing.assert_array_equal(mask, asked)  # which is left as it was
