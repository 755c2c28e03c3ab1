"""Vessel maps of samples beside the real ones: are they like these, and in range?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import DataError
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

CENTRAL = 0.98
"""Of real windows: 96 to 98 % of DRIVE's own windows of 32 to 256 pixels are in range."""
FACTOR = 2.0
"""How far beyond the real ones whole images may lie. Of two real images the range is next to
nothing, so that its own width would not do; DRIVE's 20 maps differ by 1.9 in density."""

Mask = NDArray[np.bool_]
Size = tuple[int, int]
Ends = tuple[float, float]


class Comparison:
    """The real maps of a set, beside which every map of a sample is held.

    training: training images with manual vessel maps. share: the setting `real_range`. why: what
    kept maps from being judged, empty if nothing did. ranges: size of samples → that of the real
    maps, where it was asked for.
    """

    def __init__(self, training: Sequence[LoadedImage], share: float | None = None) -> None:
        self.training, self.share, self.why = training, share, ""
        self.ranges: dict[Size, RealRange] = {}
        self._with_vessels = [real for real in training if real.reference.any()]
        self._likely = cache(self._likely_range)
        self._calibres = cache(self._calibre_ends)

    @classmethod
    def read(cls, folder: Path, share: float | None = None) -> Comparison:
        """folder: of a prepared set; images without a mask are left out."""
        marked = [record for record in read_index(folder, TRAIN) if record.mask is not None]
        return cls([load_image(folder, record, soft=False) for record in marked], share)

    def fault(self, tree: TreeFigures, size: Size) -> str:
        """Which figure of a map of this size is out of `real_range` and by how much; empty when
        none is, or nobody asked. Raises DataError as `windows`."""
        if self.share is None:
            return ""
        if size not in self.ranges:
            found = map(tree_figures, windows(self.training, size, WINDOWS))
            self.ranges[size] = RealRange.of(found, self.share)
        return self.ranges[size].outside(tree)

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
        size = (fov.shape[0], fov.shape[1])
        calibres = self._calibres(size)
        if self._with_vessels and (calibres or fov.mean() < LEAST_FOV):
            dense = _within(vessel_share, self._densities)
            return dense and (calibres is None or _within(tree.calibre, calibres))
        real = self._likely(size)
        return None if real is None else not real.outside(tree)

    def _likely_range(self, size: Size) -> RealRange | None:
        found = []
        if self._with_vessels:
            try:
                pieces = windows(self._with_vessels, size, WINDOWS)
                found = [tree_figures(window) for window in pieces if window.any()]
            except DataError:  # here nobody asked for it; the filter `real_range` does raise it
                pass
        if not found:
            self.why = f"no real map has a window of {size[1]}×{size[0]} pixels with vessels in it"
        return RealRange.of(found, CENTRAL) if found else None

    @cached_property
    def _densities(self) -> Ends:
        return _wide([float(real.reference[real.fov].mean()) for real in self._with_vessels])

    def _calibre_ends(self, size: Size) -> Ends | None:
        """Of the real maps as large as this; None where there are none."""
        alike = [real for real in self._with_vessels if equally_large(real.fov.shape, size)]
        found = [tree_figures(real.reference).calibre for real in alike[:WINDOWS]]
        return _wide(found) if found else None


def _wide(found: Sequence[float]) -> Ends:
    low, high = np.quantile(found, [(1 - CENTRAL) / 2, (1 + CENTRAL) / 2]).tolist()
    return low / FACTOR, high * FACTOR


def _within(value: float, ends: Ends) -> bool:
    return ends[0] <= value <= ends[1]
