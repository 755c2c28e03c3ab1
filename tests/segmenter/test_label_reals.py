"""Vessel maps of samples beside the real ones of a set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dataset_writers import marked
from segmenter_helpers import phantom_set

from vesselforge.data.imageset import LoadedImage, read_index, write_index
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.data.structure import tree_figures
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
    found = Comparison.read(folder).training
    assert [one.id for one in found] == ["00", "02"]
    assert not found[0].fov.all() and found[1].fov.all()


def test_a_comparison_finds_crumbs() -> None:
    reals = [real(seed) for seed in (3, 1, 4)]
    comparison, fov = Comparison(reals, 1.0), reals[1].fov.T
    turned = tree_figures(reals[1].reference.T)
    assert comparison.like_real(turned, 0.1, fov) is True
    assert comparison.fault(turned, (96, 96)) == ""
    crumbs = np.zeros((96, 96), bool)
    crumbs[::4, ::4] = True
    found = tree_figures(crumbs)
    assert comparison.fault(found, (96, 96)).startswith(("density", "calibre", "components"))
    assert found.components == 24 * 24
    assert set(comparison.ranges) == {(96, 96)}
    assert Comparison(reals).fault(found, (96, 96)) == ""
