"""Does the vessel map of an image look like a real one? Rejects nothing: what the share of such
images says of a set is for `pipeline.evidence` to judge."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from vesselforge.configs.errors import DataError
from vesselforge.data.structure import (
    LEAST_FOV,
    WINDOWS,
    Mask,
    RealMap,
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

Size = tuple[int, int]
Ends = tuple[float, float]


class Likeness:
    """The ranges of real maps, by the size of the images. why: what kept images from being judged.

    Maps without any vessel are left out: in DRIVE 5 % of the windows of 32 pixels are empty, and
    with them in the range an empty map would be, too, whatever the image shows.
    """

    def __init__(self, reals: Sequence[RealMap]) -> None:
        self.reals = [real for real in reals if real.mask.any()]
        self.why = ""
        self._ranges: dict[Size, RealRange | None] = {}
        self._calibres: dict[Size, Ends] = {}

    def holds(self, tree: TreeFigures, vessel_share: float, fov: Mask) -> bool | None:
        """Whether a map is in range; None where there is no real map to compare it with.

        tree: figures of the map; vessel_share: of the field of view `fov` [H, W]. Windows: density,
        calibre and components inside the central share CENTRAL of equally large real windows. Whole
        images (as large as real ones, or with a rim around the field of view): real ones are few,
        and how many pieces a map has is the annotator's habit, so these are judged by density in
        the field of view, and if they are as large also by calibre, at most FACTOR beyond the real
        maps. That is coarse: exact phantoms pass, and fog with empty maps does not.
        """
        size = (fov.shape[0], fov.shape[1])
        alike = [real for real in self.reals if equally_large(real.mask.shape, size)]
        if self.reals and (alike or fov.mean() < LEAST_FOV):
            if not _within(vessel_share, self._densities):
                return False
            return not alike or _within(tree.calibre, self._calibre(size, alike))
        if size not in self._ranges:
            self._ranges[size] = self._range(size)
        real = self._ranges[size]
        return None if real is None else not real.outside(tree)

    def _range(self, size: Size) -> RealRange | None:
        if not self.reals:
            self.why = "no real map has any vessel"
            return None
        self.why = f"no real map has a window of {size[1]}×{size[0]} pixels with vessels in it"
        try:
            found = [tree_figures(w) for w in windows(self.reals, size, WINDOWS) if w.any()]
        except DataError:  # here nobody asked for it; the filters that do raise it
            return None
        if not found:
            return None
        self.why = ""
        return RealRange.of(found, CENTRAL)

    @cached_property
    def _densities(self) -> Ends:
        return _wide([float(real.mask[real.fov].mean()) for real in self.reals])

    def _calibre(self, size: Size, alike: Sequence[RealMap]) -> Ends:
        if size not in self._calibres:
            found = [tree_figures(real.mask).calibre for real in alike[:WINDOWS]]
            self._calibres[size] = _wide(found)
        return self._calibres[size]


def _wide(found: Sequence[float]) -> Ends:
    low, high = np.quantile(found, [(1 - CENTRAL) / 2, (1 + CENTRAL) / 2]).tolist()
    return low / FACTOR, high * FACTOR


def _within(value: float, ends: Ends) -> bool:
    return ends[0] <= value <= ends[1]
