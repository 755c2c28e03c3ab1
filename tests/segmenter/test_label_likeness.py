"""Vessel maps are held against real ones: exact ones pass, fog and empty maps do not."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_writers import marked
from numpy.typing import NDArray

from vesselforge.data.imageset import LoadedImage
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.data.structure import TreeFigures, tree_figures, windows
from vesselforge.segmenter.labels.real_maps import Comparison

Mask = NDArray[np.bool_]


def real(seed: int, size: int = 256) -> LoadedImage:
    phantom = make_phantom(seed, size)
    return marked(phantom.mask, phantom.fov)


@pytest.fixture(scope="module")
def reals() -> list[LoadedImage]:
    return [real(seed) for seed in range(3)]


def judge(compared: Comparison, mask: Mask, fov: Mask | None = None) -> bool | None:
    fov = np.ones_like(mask) if fov is None else fov
    return compared.like_real(tree_figures(mask), float(mask[fov].mean()), fov)


def test_windows_of_other_eyes_pass_and_noise_does_not(reals: list[LoadedImage]) -> None:
    compared = Comparison(reals)
    others = windows([real(7), real(8)], (64, 64), 40)
    assert np.mean([judge(compared, window) is True for window in others]) > 0.8
    rng = np.random.default_rng(0)
    for share in (0.002, 0.02, 0.1, 0.5):
        assert judge(compared, rng.random((64, 64)) < share) is False
    assert judge(compared, np.zeros((64, 64), bool)) is False
    assert judge(compared, np.ones((64, 64), bool)) is False
    assert compared.why == ""


def test_an_empty_map_is_out_of_range_even_where_real_windows_are_empty() -> None:
    mask = np.zeros((128, 128), bool)
    mask[60:63] = True  # most windows of 16 pixels have no vessel
    compared = Comparison([marked(mask, np.ones_like(mask))])
    assert np.mean([not w.any() for w in windows(compared.training, (16, 16), 99)]) > 0.5
    assert judge(compared, np.zeros((16, 16), bool)) is False
    assert judge(compared, mask[54:70, :16]) is True


@pytest.mark.parametrize("size", [256, 270, 128, 400])
@pytest.mark.parametrize("count", [1, 3])
def test_exact_whole_images_pass_whatever_their_size(
    reals: list[LoadedImage], size: int, count: int
) -> None:
    compared = Comparison(reals[:count])
    for seed in (11, 12):
        other = real(seed, size)
        assert judge(compared, other.reference, other.fov) is True
        assert judge(compared, np.zeros_like(other.reference), other.fov) is False
        full = other.reference | (np.random.default_rng(seed).random(other.reference.shape) < 0.4)
        assert judge(compared, full & other.fov, other.fov) is False


def test_whole_images_are_judged_by_density_and_calibre_but_not_by_pieces(
    reals: list[LoadedImage],
) -> None:
    compared, fov = Comparison(reals), reals[0].fov
    found = tree_figures(reals[0].reference)
    share = float(reals[0].reference[fov].mean())
    many = TreeFigures(found.density, found.calibre, 500.0, 500.0, found.branchings)
    assert compared.like_real(many, share, fov) is True
    wide = TreeFigures(found.density, 3 * found.calibre, 1.0, 9.0, 9.0)
    assert compared.like_real(wide, share, fov) is False
    small = np.zeros((64, 64), bool)
    small[8:56, 8:56] = True  # a rim: a whole image, whose calibre depends on its size
    assert compared.like_real(wide, share, small) is True


def test_what_cannot_be_compared_is_not_judged(reals: list[LoadedImage]) -> None:
    compared = Comparison(reals)
    assert judge(compared, np.ones((900, 900), bool)) is None
    assert "900×900" in compared.why
    blank = Comparison([marked(np.zeros((64, 64), bool), np.ones((64, 64), bool))])
    assert judge(blank, np.ones((32, 32), bool)) is None
    assert blank.why == "no real map has a window of 32×32 pixels with vessels in it"
