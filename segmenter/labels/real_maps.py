"""Vessel maps of samples beside the real ones: are they like these, and in range?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import PseudoLabelSettings
from vesselforge.data.imageset import LoadedImage, load_image, read_index
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.data.structure import (
    LEAST_FOV,
    WINDOWS,
    RealRange,
    TreeFigures,
    equally_large,
    tree_figures,
    windows,
)
from vesselforge.segmenter.labels.filters import Figures

CENTRAL = 0.98
"""Of real windows: 96 to 98 % of DRIVE's own windows of 32 to 256 pixels are in range."""
FACTOR = 2.0
"""How far beyond the real ones whole images may lie. Of two real images the range is next to
nothing, so that its own width would not do; DRIVE's 20 maps differ by 1.9 in density."""

Mask = NDArray[np.bool_]
Size = tuple[int, int]
Ends = tuple[float, float]


class Comparison:
    """The real maps of a set. Without any, nothing is compared; with them, every image is.

    training: training images with manual vessel maps. why: what kept images from being compared,
    empty if nothing did.
    """

    def __init__(self, settings: PseudoLabelSettings, training: Sequence[LoadedImage] = ()) -> None:
        self.settings, self.training = settings, training
        self.why = "" if training else "no real vessel maps were given"
        self._with_vessels = [real for real in training if real.reference.any()]
        self._ranges: dict[Size, RealRange] = {}
        self._likely: dict[Size, RealRange | None] = {}
        self._calibres: dict[Size, Ends] = {}

    @classmethod
    def read(cls, settings: PseudoLabelSettings, folder: Path | None) -> Comparison:
        """folder: of a prepared set; None: there is none. Raises DataError where a filter needs its
        masks and it has none."""
        if folder is None:
            return cls(settings)
        marked = [record for record in read_index(folder, TRAIN) if record.mask is not None]
        training = [load_image(folder, record, soft=False) for record in marked]
        if not training and settings.real_range is not None:
            raise DataError(
                f"{folder}: found no training image with a vessel mask, expected some; real_range "
                "compares with them: give another set or leave it off"
            )
        return cls(settings, training)

    def add(self, figures: Figures, mask: Mask, fov: Mask) -> Figures:
        """The figures with those of the vessel map [H, W] beside the real ones. fov: field of view
        [H, W]."""
        if not self.training:
            return figures
        size = (mask.shape[0], mask.shape[1])
        tree = tree_figures(mask)
        in_range = self.like_real(tree, figures.vessel_share, fov)
        figures = replace(figures, tree=tree, in_range=in_range)
        if self.settings.real_range is not None:
            if size not in self._ranges:
                found = map(tree_figures, windows(self.training, size, WINDOWS))
                self._ranges[size] = RealRange.of(found, self.settings.real_range)
            figures = replace(figures, fault=self._ranges[size].outside(tree))
        return figures

    def like_real(self, tree: TreeFigures, vessel_share: float, fov: Mask) -> bool | None:
        """Whether a map looks like a real one; None where there is none to compare it with. It
        rejects nothing: what the share of such images says of a set, `pipeline.evidence` judges.

        tree: figures of the map; vessel_share: of the field of view `fov` [H, W]. Windows: density,
        calibre and components inside the central share CENTRAL of equally large real windows. Whole
        images (as large as real ones, or with a rim around the field of view): real ones are few,
        and how many pieces a map has is the annotator's habit, so these are judged by density in
        the field of view, and if they are as large also by calibre, at most FACTOR beyond the real
        maps. That is coarse: exact phantoms pass, and fog with empty maps does not. Real maps
        without any vessel are left out: in DRIVE 5 % of the windows of 32 pixels are empty, and
        with them in the range an empty map would be, too, whatever the image shows.
        """
        reals, size = self._with_vessels, (fov.shape[0], fov.shape[1])
        alike = [real for real in reals if equally_large(real.fov.shape, size)]
        if reals and (alike or fov.mean() < LEAST_FOV):
            if not _within(vessel_share, self._densities):
                return False
            return not alike or _within(tree.calibre, self._calibre(size, alike))
        if size not in self._likely:
            self._likely[size] = self._likely_range(size)
        real = self._likely[size]
        return None if real is None else not real.outside(tree)

    def _likely_range(self, size: Size) -> RealRange | None:
        if not self._with_vessels:
            self.why = "no real map has any vessel"
            return None
        try:
            pieces = windows(self._with_vessels, size, WINDOWS)
            found = [tree_figures(window) for window in pieces if window.any()]
        except DataError:  # here nobody asked for it; the filters that do raise it
            found = []
        if not found:
            self.why = f"no real map has a window of {size[1]}×{size[0]} pixels with vessels in it"
        return RealRange.of(found, CENTRAL) if found else None

    @cached_property
    def _densities(self) -> Ends:
        return _wide([float(real.reference[real.fov].mean()) for real in self._with_vessels])

    def _calibre(self, size: Size, alike: Sequence[LoadedImage]) -> Ends:
        if size not in self._calibres:
            found = [tree_figures(real.reference).calibre for real in alike[:WINDOWS]]
            self._calibres[size] = _wide(found)
        return self._calibres[size]

    def facts(self) -> dict[str, object]:
        """For metrics.json: `real_range`, `width×height` of the samples → figure → [lowest,
        highest]; empty without this filter."""
        found = {_name(size): each.as_json() for size, each in sorted(self._ranges.items())}
        return {"real_range": found} if found else {}


def _name(size: Size) -> str:
    return f"{size[1]}×{size[0]}"


def _wide(found: Sequence[float]) -> Ends:
    low, high = np.quantile(found, [(1 - CENTRAL) / 2, (1 + CENTRAL) / 2]).tolist()
    return low / FACTOR, high * FACTOR


def _within(value: float, ends: Ends) -> bool:
    return ends[0] <= value <= ends[1]
