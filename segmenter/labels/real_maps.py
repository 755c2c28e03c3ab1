"""Vessel maps of samples beside the real ones: are they in range, and are they copies?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import PseudoLabelSettings
from vesselforge.data.layouts.splits import TRAIN, VALIDATION
from vesselforge.data.structure import (
    RealMap,
    RealRange,
    load_real_maps,
    real_range,
    tree_figures,
    windows,
)
from vesselforge.segmenter.labels.filters import Figures
from vesselforge.segmenter.labels.likeness import Likeness
from vesselforge.segmenter.labels.overlap import RealMaps

HELD_OUT = 64
"""Windows of held-out maps whose overlap with the training maps says what comes by chance."""

Size = tuple[int, int]


@dataclass
class Comparison:
    """The real maps of a set. Without any, nothing is compared; with them, every image is.

    training, held_out: manual vessel maps of the training and of the validation images.
    """

    settings: PseudoLabelSettings
    training: list[RealMap] = field(default_factory=list)
    held_out: list[RealMap] = field(default_factory=list)
    ranges: dict[Size, RealRange] = field(default_factory=dict)
    sizes: set[Size] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._maps = RealMaps([real.mask for real in self.training])
        self._likeness = Likeness(self.training)

    @classmethod
    def read(cls, settings: PseudoLabelSettings, folder: Path | None) -> Comparison:
        """folder: of a prepared set; None: there is none. Raises DataError where a filter needs its
        masks and it has none."""
        if folder is None:
            return cls(settings)
        training = load_real_maps(folder, TRAIN)
        if not training and settings.needs_real_masks:
            raise DataError(
                f"{folder}: found no training image with a vessel mask, expected some; real_range "
                "and max_overlap compare with them: give another set or leave both off"
            )
        return cls(settings, training, load_real_maps(folder, VALIDATION))

    def add(self, figures: Figures, mask: NDArray[np.bool_], fov: NDArray[np.bool_]) -> Figures:
        """The figures with those of the vessel map [H, W] beside the real ones, and what else the
        settings ask for. fov: field of view [H, W]."""
        if not self.training:
            return figures
        size = (mask.shape[0], mask.shape[1])
        self.sizes.add(size)
        tree = tree_figures(mask)
        in_range = self._likeness.holds(tree, figures.vessel_share, fov)
        figures = replace(figures, tree=tree, in_range=in_range)
        if self.settings.real_range is not None:
            fault = self._range(size, self.settings.real_range).outside(tree)
            figures = replace(figures, fault=fault)
        if self.settings.max_overlap is not None:
            found = self._maps.best(mask)
            name = self.training[found.real].id if found.dice else ""
            figures = replace(figures, overlap=found.dice, overlap_image=name)
        return figures

    @property
    def why(self) -> str:
        """What kept images from being compared; empty if nothing did."""
        return self._likeness.why if self.training else "no real vessel maps were given"

    def facts(self) -> dict[str, object]:
        """For metrics.json, by `width×height` of the samples: `real_range`, figure → [lowest,
        highest]; `overlap_held_out`: of pieces of held-out maps, median, 95 % and how many."""
        found: dict[str, object] = {}
        if self.ranges:
            found["real_range"] = {_name(s): r.as_json() for s, r in sorted(self.ranges.items())}
        if self.settings.max_overlap is not None and self.held_out:
            found["overlap_held_out"] = {
                _name(size): self._held_out(size) for size in sorted(self.sizes)
            }
        return found

    def _range(self, size: Size, share: float) -> RealRange:
        if size not in self.ranges:
            self.ranges[size] = real_range(self.training, size, share)
        return self.ranges[size]

    def _held_out(self, size: Size) -> dict[str, float]:
        dices = overlap_held_out(self._maps, self.held_out, size)
        median, high = np.quantile(dices, [0.5, 0.95]).tolist()
        return {"median": round(median, 4), "q95": round(high, 4), "pieces": len(dices)}


def overlap_held_out(
    training: RealMaps, held_out: list[RealMap], size: Size, count: int = HELD_OUT
) -> list[float]:
    """The overlaps with the training maps of `count` windows [h, w] of held-out ones (of every map
    as a whole where samples are that large): what comes without copying, to choose `max_overlap`
    by. Raises DataError as `windows`."""
    return [training.best(window).dice for window in windows(held_out, size, count)]


def _name(size: Size) -> str:
    return f"{size[1]}×{size[0]}"
