"""Figures of vessel maps, and their range over windows of real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from segmenter_helpers import phantom_set

from configs.errors import DataError
from configs.settings import PseudoLabelSettings
from data.imageset import read_index, write_index
from data.phantoms.draw import make_phantom
from segmenter.labels.compare import Comparison, overlap_held_out
from segmenter.labels.filters import Figures
from segmenter.labels.overlap import RealMaps
from segmenter.labels.reals import (
    RealMap,
    RealRange,
    TreeFigures,
    load_real_maps,
    pieces,
    real_range,
    tree_figures,
)


def real(seed: int, size: int = 96) -> RealMap:
    phantom = make_phantom(seed, size)
    return RealMap(str(seed), phantom.mask, phantom.fov)


def test_figures_of_drawn_vessels() -> None:
    mask = np.zeros((40, 60), bool)
    assert tree_figures(mask) == TreeFigures(0.0, 0.0, 0.0)
    mask[5, 10:50] = True  # 40 pixels, one across
    found = tree_figures(mask)
    assert found == TreeFigures(40 / 2400, 1.0, 1.0)
    mask[20:25, 5:55] = True  # five across, touching nothing
    found = tree_figures(mask)
    assert found.density == pytest.approx((40 + 250) / 2400)
    assert found.components == 2
    assert 1 < found.calibre < 5
    mask[6:20, 30] = True
    assert tree_figures(mask).components == 1
    assert tree_figures(~np.zeros((8, 9), bool)) == TreeFigures(1.0, 8.0, 1.0)


def test_a_range_holds_its_share_of_the_windows_it_is_made_of() -> None:
    reals = [real(seed) for seed in range(3)]
    windows = [tree_figures(piece) for piece in pieces(reals, (32, 32), 400)]
    allowed = real_range(reals, (32, 32), 0.8)
    for name in ("density", "calibre", "components"):
        values = np.array([getattr(window, name) for window in windows])
        low, high = getattr(allowed.low, name), getattr(allowed.high, name)
        assert (low, high) == pytest.approx(tuple(np.quantile(values, [0.1, 0.9])))
    assert real_range(reals, (32, 32), 0.8) == allowed  # seeded
    everything = real_range(reals, (32, 32), 1.0)
    assert not any(everything.outside(window) for window in windows)
    assert allowed.as_json()["components"] == [allowed.low.components, allowed.high.components]


def test_what_is_out_of_range_is_named() -> None:
    allowed = RealRange(TreeFigures(0.05, 2.0, 1.0), TreeFigures(0.2, 4.0, 9.0))
    assert allowed.outside(TreeFigures(0.05, 4.0, 1.0)) == ""
    assert allowed.outside(TreeFigures(0.31, 9.0, 99.0)) == "density 0.31 is above 0.2"
    assert allowed.outside(TreeFigures(0.1, 1.5, 99.0)) == "calibre 1.5 is below 2"
    assert allowed.outside(TreeFigures(0.1, 3.0, 12.0)) == "components 12 is above 9"


def test_pieces_lie_in_the_field_of_view_and_come_from_all_images() -> None:
    reals = [real(seed) for seed in range(3)]
    # Every pixel tells where it is, and whether it is seen.
    marked = [RealMap(one.id, one.fov, one.fov) for one in reals]
    found = pieces(marked, (32, 32), 60)
    assert len(found) == 60
    assert min(piece.mean() for piece in found) >= 0.9
    assert any(piece.mean() < 1 for piece in found)
    # A map without any window of the size is passed over.
    few = RealMap("few", reals[0].mask, np.zeros_like(reals[0].fov))
    assert len(pieces([few, *reals], (32, 32), 10)) == 10


def test_samples_as_large_as_the_images_are_compared_with_whole_maps() -> None:
    reals = [real(seed) for seed in range(3)]
    for size in ((96, 96), (92, 100)):  # equally large, but for a few pixels
        found = pieces(reals, size, 50)
        assert len(found) == 3
        for piece, one in zip(found, reals, strict=True):
            np.testing.assert_array_equal(piece, one.mask)
    with pytest.raises(DataError, match=r"samples of 120×200 pixels.*largest is 96×96"):
        pieces(reals, (200, 120), 50)


def test_images_without_a_mask_are_left_out(tmp_path: Path) -> None:
    folder = phantom_set(tmp_path, {"train": 3, "validation": 1})
    records = read_index(folder)
    records[1] = type(records[1])(**vars(records[1]) | {"mask": None, "fov": None})
    records[2] = type(records[2])(**vars(records[2]) | {"fov": None})
    write_index(folder, "tiny", records)
    found = load_real_maps(folder, "train")
    assert [one.id for one in found] == ["00", "02"]
    assert not found[0].fov.all() and found[1].fov.all()
    assert [one.id for one in load_real_maps(folder, "validation")] == ["03"]


def test_a_comparison_finds_crumbs_and_copies() -> None:
    settings = PseudoLabelSettings(real_range=1.0, max_overlap=0.9)
    reals, held = [real(seed) for seed in range(3)], [real(seed) for seed in (7, 8)]
    comparison = Comparison(settings, reals, held)
    blank = Figures("x", 0.9, 0.1)
    copy = comparison.add(blank, reals[1].mask.T)
    assert copy.fault == "" and copy.overlap == 1.0 and copy.overlap_image == "1"
    crumbs = np.zeros((96, 96), bool)
    crumbs[::4, ::4] = True
    found = comparison.add(blank, crumbs)
    assert found.fault is not None and found.fault.startswith(("density", "calibre", "components"))
    assert found.tree is not None and found.tree.components == 24 * 24
    facts = comparison.facts()
    assert set(facts) == {"real_range", "overlap_held_out"}
    dices = overlap_held_out(RealMaps([one.mask for one in reals]), held, (96, 96))
    assert facts["overlap_held_out"] == {
        "96×96": {
            "median": round(float(np.median(dices)), 4),
            "q95": round(float(np.quantile(dices, 0.95)), 4),
            "pieces": 2,
        }
    }
    windows = overlap_held_out(RealMaps([one.mask for one in reals]), held, (24, 24), 10)
    assert len(windows) == 10 and max(windows) <= 1
    assert "overlap_held_out" not in Comparison(settings, reals).facts()
