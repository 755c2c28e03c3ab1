"""The field of view from brightness: phantoms, cut circles, marker tabs, frames without any."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vesselforge.data.fov import derive_fov, fov_width
from vesselforge.data.phantoms.draw import make_phantom

Mask = NDArray[np.bool_]


def iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / (a | b).sum())


def disc(h: int, w: int, y: float, x: float, r: float) -> Mask:
    rows, columns = np.ogrid[:h, :w]
    return np.asarray((rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2 <= r * r)


def photograph(fov: Mask, seed: int = 0) -> NDArray[np.uint8]:
    """Orange inside, nearly black outside, with sensor noise."""
    rng = np.random.default_rng(seed)
    image = np.where(fov[..., None], np.array([190, 95, 45]), 4) + rng.normal(0, 4, (*fov.shape, 3))
    return image.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("seed", "size"), [(0, 96), (1, 96), (2, 192), (3, 192), (4, 300)])
def test_phantoms(seed: int, size: int) -> None:
    made = make_phantom(seed, size)
    assert iou(derive_fov(made.image), made.fov) > 0.98


@pytest.mark.parametrize("shape", [(605, 700), (960, 999), (101, 77)])
def test_circle_cut_by_the_frame(shape: tuple[int, int]) -> None:
    h, w = shape
    fov = disc(h, w, h / 2, w / 2, 0.52 * min(h, w))
    assert iou(derive_fov(photograph(fov)), fov) > 0.98


def test_circle_cut_inside_the_frame() -> None:
    fov = disc(605, 700, 300, 350, 340)
    fov[:30] = fov[590:] = False
    assert iou(derive_fov(photograph(fov)), fov) > 0.98


def test_marker_tab_is_left_out() -> None:
    fov = disc(600, 600, 300, 300, 270)
    with_tab = fov.copy()
    with_tab[60:110, 480:540] = True
    found = derive_fov(photograph(with_tab))
    assert iou(found, fov) > 0.98
    assert not found[70, 530]


def test_dark_rim_is_given_back() -> None:
    fov = disc(600, 600, 300, 300, 280)
    image = photograph(fov)
    image[fov & ~disc(600, 600, 330, 340, 290)] = 6  # a crescent as dark as the surround
    assert iou(derive_fov(image), fov) > 0.98


def test_letters_in_the_surround() -> None:
    fov = disc(600, 600, 300, 300, 250)
    image = photograph(fov)
    image[10:30, 10:60] = 255
    assert iou(derive_fov(image), fov) > 0.98


def test_no_surround_is_all_field() -> None:
    assert derive_fov(photograph(np.ones((80, 120), bool))).all()


@pytest.mark.parametrize("value", [0, 255])
def test_one_tone_is_all_field(value: int) -> None:
    found = derive_fov(np.full((50, 60, 3), value, np.uint8))
    assert found.shape == (50, 60)
    assert found.all()


def test_rectangle() -> None:
    fov = np.zeros((300, 400), bool)
    fov[40:260, 50:350] = True
    assert iou(derive_fov(photograph(fov)), fov) > 0.95


@pytest.mark.parametrize(
    ("y", "x"),
    [(300, 350), (310, 350), (300, 270), (330, 700), (20, 40), (300, 30)],
    ids=["whole", "cut above and below", "cut at the left", "half", "a corner", "left half"],
)
def test_the_width_is_the_diameter_however_the_picture_cuts_it(y: float, x: float) -> None:
    assert fov_width(disc(600, 700, y, x, 290)) == pytest.approx(580, rel=0.02)


def test_the_width_is_found_in_a_photograph_that_lost_its_left() -> None:
    fov = disc(600, 700, 300, 200, 290)
    assert fov_width(derive_fov(photograph(fov))) == pytest.approx(580, rel=0.03)


def test_the_width_of_a_field_cut_on_all_sides_is_its_circles() -> None:
    fov = disc(400, 420, 200, 210, 250)  # dark corners alone
    assert fov_width(fov) == pytest.approx(500, rel=0.02)
    large = disc(3600, 3780, 1800, 1890, 2250)
    assert fov_width(large) == pytest.approx(4500, rel=0.02)


def test_what_has_no_border_has_no_width() -> None:
    everything = np.ones((60, 80), bool)
    assert fov_width(everything) is None
    assert fov_width(~everything) is None
    speck = disc(600, 600, 300, 300, 50)  # a reflex, or another photograph
    assert fov_width(speck) is None
    zigzag = everything.copy()
    zigzag[::3, 0] = zigzag[::3, -1] = zigzag[0, ::3] = zigzag[-1, ::3] = False
    assert fov_width(zigzag) is None
