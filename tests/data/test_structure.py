"""Figures of vessel maps, and their range over windows of real ones."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_writers import marked
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from vesselforge.configs.errors import DataError
from vesselforge.data.imageset import LoadedImage
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.data.structure import (
    FIGURES,
    RIM,
    WINDOWS,
    RealRange,
    TreeFigures,
    tree_figures,
    window_sums,
    windows,
)

Mask = NDArray[np.bool_]
RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))


def real(seed: int, size: int = 96) -> LoadedImage:
    phantom = make_phantom(seed, size)
    return marked(phantom.mask, phantom.fov)


def real_range(reals: list[LoadedImage], size: tuple[int, int], share: float) -> RealRange:
    return RealRange.of(map(tree_figures, windows(reals, size, WINDOWS)), share)


def lines(seed: int, side: int = 96) -> Mask:
    """Nine straight vessels, 1.2 to 7 pixels wide, of random ends."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    mask = np.zeros((side, side), bool)
    for _ in range(9):
        (ay, by), (ax, bx) = rng.uniform(0, side, (2, 2))
        length = (by - ay) ** 2 + (bx - ax) ** 2
        along = np.clip(((y - ay) * (by - ay) + (x - ax) * (bx - ax)) / length, 0, 1)
        away = np.hypot(y - ay - along * (by - ay), x - ax - along * (bx - ax))
        mask |= away <= rng.uniform(0.6, 3.5)
    return mask


def bar(degrees: float, width: float, side: int = 64) -> Mask:
    """A straight vessel through the middle, from rim to rim."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    angle = np.deg2rad(degrees)
    return np.abs(y * np.cos(angle) - x * np.sin(angle)) <= width / 2


def ends_and_branchings(mask: Mask) -> tuple[float, float]:
    found = tree_figures(mask)
    return found.ends, found.branchings


# Figures.


def test_figures_of_drawn_vessels() -> None:
    mask = np.zeros((40, 60), bool)
    assert tree_figures(mask) == TreeFigures(0.0, 0.0, 0.0, 0.0, 0.0)
    mask[5, 10:50] = True  # 40 pixels, one across
    assert tree_figures(mask) == TreeFigures(40 / 2400, 1.0, 1.0, 2.0, 0.0)
    mask[20:25, 5:55] = True  # five across, touching nothing
    found = tree_figures(mask)
    assert found.density == pytest.approx((40 + 250) / 2400)
    assert found.components == 2
    assert 1 < found.calibre < 5
    mask[6:20, 30] = True
    assert tree_figures(mask).components == 1
    assert tree_figures(~np.zeros((8, 9), bool)) == TreeFigures(1.0, 8.0, 1.0, 0.0, 0.0)


def test_ends_and_branchings_of_simple_drawings() -> None:
    plus = np.zeros((41, 41), bool)
    plus[20, 8:33] = plus[8:33, 20] = True
    assert ends_and_branchings(plus) == (4, 1)
    assert ends_and_branchings(plus[8:33, 8:33]) == (0, 1)  # all four cut by the frame
    tee = plus.copy()
    tee[21:] = False
    assert ends_and_branchings(tee) == (3, 1)
    y, x = np.mgrid[:41, :41] - 20
    ring = np.abs(np.hypot(y, x) - 12) < 1.5
    assert ends_and_branchings(ring) == (0, 0)
    ring[20, 32:38] = True  # a stem
    assert ends_and_branchings(ring) == (1, 1)
    pair = np.zeros((41, 41), bool)
    pair[[12, 28], 6:35] = True
    assert ends_and_branchings(pair) == (4, 0)
    pair[[12, 28]] = True
    assert ends_and_branchings(pair) == (0, 0)


@pytest.mark.parametrize(("far", "expected"), [(RIM, 1.0), (RIM - 1, 0.0)])
def test_an_end_near_the_rim_is_the_frames(far: int, expected: float) -> None:
    for quarter in range(4):
        mask = np.zeros((30, 30), bool)
        mask[far:, 15] = True  # reaches the rim on the other side
        assert tree_figures(np.rot90(mask, quarter)).ends == expected


@pytest.mark.parametrize("width", [1, 2, 3, 5, 7, 9])
def test_the_frame_makes_no_ends_of_wide_vessels(width: int) -> None:
    # Thinning draws the centre line back from the frame by half the width of the vessel.
    for degrees in (0, 20, 45, 70, 90, 150):
        assert ends_and_branchings(bar(degrees, width)) == (0, 0)


@pytest.mark.parametrize("seed", range(6))
def test_ends_and_branchings_equal_walking_round_every_pixel(seed: int) -> None:
    mask = lines(seed, 64)
    line, radius = skeletonize(mask), ndimage.distance_transform_edt(mask)

    def at(y: int, x: int) -> int:
        return int(line[y, x]) if 0 <= y < 64 and 0 <= x < 64 else 0

    ends, crossings = 0, set()
    for y, x in zip(*(axis.tolist() for axis in np.nonzero(line)), strict=True):
        round_it = [at(y + dy, x + dx) for dy, dx in RING]
        if sum(round_it) == 1:
            ends += min(y, x, 63 - y, 63 - x) - (radius[y, x] - 1) >= RIM
        if sum(a < b for a, b in zip(round_it, [*round_it[1:], round_it[0]], strict=True)) >= 3:
            crossings.add((y, x))
    clusters = 0
    while crossings:
        clusters += 1
        reached = [crossings.pop()]
        while reached:
            y, x = reached.pop()
            near = {(v, u) for v, u in crossings if max(abs(v - y), abs(u - x)) <= 3}
            crossings -= near
            reached += near
    assert ends and clusters
    assert ends_and_branchings(mask) == (ends, clusters)


@pytest.mark.parametrize("seed", range(3))
def test_figures_do_not_depend_on_how_the_map_lies(seed: int) -> None:
    # Thinning is not quite the same from all sides: a spur more, a crossing as two branchings.
    mask = lines(seed)
    first = tree_figures(mask)
    for turn in range(1, 4):
        found = tree_figures(np.rot90(mask, turn))
        assert (found.density, found.components) == (first.density, first.components)
        assert found.calibre == pytest.approx(first.calibre, rel=0.02)
        assert abs(found.ends - first.ends) <= 1
        assert abs(found.branchings - first.branchings) <= 2


# The range of real maps.


def test_what_is_judged_is_what_it_was() -> None:
    # Numbers of the version before ends and branchings were counted.
    golden = [
        (1961, 4.157037696320583, 3.0),
        (1568, 3.387248884154637, 2.0),
        (1655, 3.3293662586399555, 1.0),
    ]
    for seed, (pixels, calibre, components) in enumerate(golden):
        found = tree_figures(lines(seed))
        assert found.density * 96**2 == pytest.approx(pixels)
        assert (found.calibre, found.components) == (pytest.approx(calibre), components)
    seen = np.ones((96, 96), bool)
    allowed = real_range([marked(lines(i), seen) for i in range(3)], (32, 32), 0.8)
    listed = allowed.as_json()
    assert listed["density"] == [0.110254, 0.401563]
    assert listed["calibre"] == [1.74848, 4.24688]
    assert listed["components"] == [1.0, 3.0]
    judged = [allowed.outside(tree_figures(lines(seed)[:32, :32])) for seed in range(3, 7)]
    judged += [allowed.outside(tree_figures(lines(seed)[40:72, 20:52])) for seed in range(3, 7)]
    assert judged == [
        "calibre 5 is above 4.247", "density 0 is below 0.1103", "density 0.1035 is below 0.1103",
        "", "density 0.4092 is above 0.4016", "density 0.4248 is above 0.4016",
        "density 0.4297 is above 0.4016", "density 0.6562 is above 0.4016",
    ]  # fmt: skip


def test_a_range_holds_its_share_of_the_windows_it_is_made_of() -> None:
    reals = [real(seed) for seed in range(3)]
    figures = [tree_figures(window) for window in windows(reals, (32, 32), 400)]
    allowed = real_range(reals, (32, 32), 0.8)
    for name in FIGURES:
        values = np.array([getattr(one, name) for one in figures])
        low, high = getattr(allowed.low, name), getattr(allowed.high, name)
        assert (low, high) == pytest.approx(tuple(np.quantile(values, [0.1, 0.9])))
    assert real_range(reals, (32, 32), 0.8) == allowed  # seeded
    everything = real_range(reals, (32, 32), 1.0)
    assert not any(everything.outside(one) for one in figures)
    assert allowed.as_json()["components"] == [allowed.low.components, allowed.high.components]


def test_what_is_out_of_range_is_named() -> None:
    low, high = TreeFigures(0.05, 2.0, 1.0, 1.0, 1.0), TreeFigures(0.2, 4.0, 9.0, 2.0, 2.0)
    allowed = RealRange(low, high)
    assert allowed.outside(low) == allowed.outside(high) == ""
    assert allowed.outside(TreeFigures(0.31, 9.0, 99.0, 1.0, 1.0)) == "density 0.31 is above 0.2"
    assert allowed.outside(TreeFigures(0.1, 1.5, 99.0, 1.0, 1.0)) == "calibre 1.5 is below 2"
    assert allowed.outside(TreeFigures(0.1, 3.0, 12.0, 1.0, 1.0)) == "components 12 is above 9"
    assert allowed.outside(TreeFigures(0.1, 3.0, 5.0, 99.0, 0.0)) == ""  # reported, not judged


def test_windows_lie_in_the_field_of_view_and_come_from_all_images() -> None:
    reals = [real(seed) for seed in range(3)]
    # Every pixel tells where it is, and whether it is seen.
    seen = [marked(one.fov, one.fov) for one in reals]
    found = windows(seen, (32, 32), 60)
    assert len(found) == 60
    assert min(window.mean() for window in found) >= 0.9
    assert any(window.mean() < 1 for window in found)
    # A map without any window of the size is passed over.
    few = marked(reals[0].reference, np.zeros_like(reals[0].fov))
    assert len(windows([few, *reals], (32, 32), 10)) == 10


def test_samples_as_large_as_the_images_are_compared_with_whole_maps() -> None:
    reals = [real(seed) for seed in range(3)]
    for size in ((96, 96), (92, 100)):  # equally large, but for a few pixels
        found = windows(reals, size, 50)
        assert len(found) == 3
        for window, one in zip(found, reals, strict=True):
            np.testing.assert_array_equal(window, one.reference)
    with pytest.raises(DataError, match=r"samples of 120×200 pixels.*largest is 96×96"):
        windows(reals, (200, 120), 50)


def test_window_sums_are_sums_of_windows() -> None:
    values = np.random.default_rng(0).random((9, 13))
    sums = window_sums(values, (4, 7))
    assert sums.shape == (6, 7)
    for y in range(6):
        for x in range(7):
            assert sums[y, x] == pytest.approx(values[y : y + 4, x : x + 7].sum())
