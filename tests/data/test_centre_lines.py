"""Thinning: pixel by pixel scikit-image's, for vessels, noise and whatever touches the edge."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from vesselforge.data.centre_lines import centre_lines
from vesselforge.data.phantoms.draw import make_phantom

RNG = np.random.default_rng(0)


def blobs(shape: tuple[int, int], sigma: float, share: float) -> NDArray[np.bool_]:
    smooth = ndimage.gaussian_filter(RNG.standard_normal(shape), sigma)
    return np.asarray(smooth > np.quantile(smooth, 1 - share))


@pytest.mark.parametrize("sigma", [0.0, 0.7, 2.0, 6.0])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_lines_are_those_of_the_library(sigma: float, share: float) -> None:
    for shape in ((90, 130), (41, 37)):
        mask = blobs(shape, sigma, share) if sigma else RNG.random(shape) < share
        np.testing.assert_array_equal(centre_lines(mask), skeletonize(mask))


def test_every_neighbourhood() -> None:
    for code in range(256):
        mask = np.ones((3, 3), bool)
        around = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
        for bit, place in enumerate(around):
            mask[place] = code >> bit & 1
        for framed in (mask, np.pad(mask, 2), np.kron(mask, np.ones((4, 4), bool))):
            np.testing.assert_array_equal(centre_lines(framed), skeletonize(framed))


def test_vessels_of_every_width() -> None:
    mask = make_phantom(3, 192).mask
    for factor in (1, 3, 8):
        large = np.kron(mask, np.ones((factor, factor), bool))
        np.testing.assert_array_equal(centre_lines(large), skeletonize(large))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (5, 7)])
def test_full_and_empty_and_slivers(shape: tuple[int, int]) -> None:
    for mask in (np.zeros(shape, bool), np.ones(shape, bool)):
        found = centre_lines(mask)
        assert found.shape == shape and found.dtype == bool
        np.testing.assert_array_equal(found, skeletonize(mask))


def test_the_mask_stays() -> None:
    mask = make_phantom(1, 96).mask
    before = mask.copy()
    centre_lines(mask)
    np.testing.assert_array_equal(mask, before)
