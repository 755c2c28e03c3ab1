"""Vessel maps of samples beside the real ones of a set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dataset_writers import marked
from segmenter_helpers import phantom_set

from vesselforge.configs.settings import PseudoLabelSettings
from vesselforge.data.imageset import LoadedImage, read_index, write_index
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.segmenter.labels.filters import Figures
from vesselforge.segmenter.labels.real_maps import Comparison


def real(seed: int, size: int = 96) -> LoadedImage:
    phantom = make_phantom(seed, size)
    return marked(phantom.mask, phantom.fov)


def test_images_without_a_mask_are_left_out(tmp_path: Path) -> None:
    folder = phantom_set(tmp_path, {"train": 3, "validation": 1})
    records = read_index(folder)
    records[1] = type(records[1])(**vars(records[1]) | {"mask": None, "fov": None})
    records[2] = type(records[2])(**vars(records[2]) | {"fov": None})
    write_index(folder, "tiny", records)
    found = Comparison.read(PseudoLabelSettings(), folder).training
    assert [one.id for one in found] == ["00", "02"]
    assert not found[0].fov.all() and found[1].fov.all()


def test_a_comparison_finds_crumbs() -> None:
    settings = PseudoLabelSettings(real_range=1.0)
    reals = [real(seed) for seed in (3, 1, 4)]
    comparison, fov = Comparison(settings, reals), reals[1].fov.T
    blank = Figures("x", 0.1)
    turned = comparison.add(blank, reals[1].reference.T, fov)
    assert turned.in_range is True and turned.fault == ""
    crumbs = np.zeros((96, 96), bool)
    crumbs[::4, ::4] = True
    found = comparison.add(blank, crumbs, fov)
    assert found.fault is not None and found.fault.startswith(("density", "calibre", "components"))
    assert found.tree is not None and found.tree.components == 24 * 24
    assert set(comparison.facts()) == {"real_range"}
    assert set(comparison.facts()["real_range"]) == {"96×96"}
    assert Comparison(PseudoLabelSettings(), reals).facts() == {}
