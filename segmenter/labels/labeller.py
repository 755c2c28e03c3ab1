"""The label of an image: what the teachers see in it, the mask that came with it, or that mask as
far as the teachers agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import LabelSettings
from vesselforge.data.imageset import ImageRecord, LoadedImage, load_mask
from vesselforge.engine.artifacts import Inputs
from vesselforge.segmenter.labels.filters import Figures
from vesselforge.segmenter.labels.geometry import turned
from vesselforge.segmenter.labels.teachers import (
    Map,
    Prediction,
    Teachers,
    agreement,
    certainty,
    expected_dice,
    uncertainty,
)
from vesselforge.segmenter.metrics.topology import slack_f1

Mask = NDArray[np.bool_]

HALF = 2
"""Orientation of `geometry.turned`: 180°, which fits every shape."""


@dataclass(frozen=True)
class Label:
    """mask [H, W] bool. figures: what the filters judge it by. soft [H, W] in [0, 1]: the teachers'
    probability where theirs is the label, else None. weight [H, W] in [0, 1]: of each pixel in the
    loss; None: 1 everywhere. Outside the field of view there is no vessel, and no doubt about it.
    """

    mask: Mask
    figures: Figures
    soft: Map | None = None
    weight: Map | None = None

    def turned(self, fov: Mask) -> Label:
        """Turned by 180° under the field of view [H, W], which stays; the figures, too."""
        soft, weight = self.soft, self.weight
        return replace(
            self,
            mask=turned(self.mask, HALF) & fov,
            soft=None if soft is None else turned(soft, HALF) * fov,
            weight=None if weight is None else np.where(fov, turned(weight, HALF), np.float32(1)),
        )


class Labeller:
    """Labels images as the settings say, before any mask is turned."""

    def __init__(self, settings: LabelSettings, inputs: Inputs) -> None:
        """inputs: `samples`; `teacher`, … unless the labels are the images' own. Raises DataError
        where a teacher is missing."""
        self.settings, self.folder = settings, inputs["samples"].path
        self.teachers = None if settings.labels == "own" else Teachers(settings, inputs)

    def label(self, sample: ImageRecord, loaded: LoadedImage) -> Label:
        """The label of an image. Raises DataError where its own mask is needed and does not fit."""
        fov, kind = loaded.fov, self.settings.labels
        own = None if kind == "teacher" else self._own(sample, loaded)
        if self.teachers is None:
            assert own is not None  # without a teacher there is nothing else
            return Label(own, Figures(loaded.id, _share(own, fov)))
        found = _inside(self.teachers.ask(loaded.image), fov)
        seen = self.teachers.mask(found.prob)
        mask = seen if own is None else own
        figures = Figures(
            loaded.id,
            _share(mask, fov),
            confidence=expected_dice(found.prob, seen),
            agreement=None if own is None else agreed(own, seen),
            uncertainty=None if found.sd is None else uncertainty(found.prob, found.sd, fov),
        )
        if own is None:
            return Label(seen, figures, found.prob, self._weight(found))
        return Label(own, figures, weight=1 - np.abs(own - found.prob))

    def _own(self, sample: ImageRecord, loaded: LoadedImage) -> Mask:
        mask = load_mask(self.folder, sample)
        if mask.shape != loaded.fov.shape:
            (height, width), (tall, wide) = mask.shape, loaded.fov.shape
            raise DataError(
                f"{self.folder}: the mask of image {sample.id!r} has {width}×{height} pixels, "
                f"expected {wide}×{tall} as the image; make the samples again"
            )
        return mask & loaded.fov

    def _weight(self, found: Prediction) -> Map | None:
        if self.settings.pixel_weights == "certainty":
            return certainty(found.prob)
        if self.settings.pixel_weights == "agreement":
            assert found.sd is not None  # the settings see to it
            return agreement(found.sd)
        return None


def check_masks(settings: LabelSettings, folder: Path, samples: Sequence[ImageRecord]) -> None:
    """Raise DataError when the labels are the images' own and an image has none."""
    bare = [sample.id for sample in samples if sample.mask is None]
    if settings.labels != "teacher" and bare:
        raise DataError(
            f"{folder}: found no mask with image {bare[0]!r} ({len(bare)} of {len(samples)} images "
            f"have none), which labels: {settings.labels} needs; draw samples that have masks "
            "(phantoms, generator.channels: rgb+mask), or choose labels: teacher"
        )


def agreed(own: Mask, seen: Mask) -> float:
    """How far two masks of the same image [H, W] agree, in [0, 1]: Dice with a slack of one pixel
    (see `slack_f1`), 1 where both are empty.

    Most vessels are 1 to 3 pixels wide: in windows of 64 pixels of DRIVE's maps a shift by one row
    and column alone takes Dice to 0.66, one pixel more of width to 0.69. With slack both are 1.0,
    and maps that have nothing to do with each other have 0.22 (95 % of them below 0.42).
    """
    return slack_f1(own, seen) if own.any() or seen.any() else 1.0


def _inside(found: Prediction, fov: Mask) -> Prediction:
    """No vessel, and no doubt about it, outside the field of view."""
    return Prediction(found.prob * fov, None if found.sd is None else found.sd * fov)


def _share(mask: Mask, fov: Mask) -> float:
    return float(mask[fov].mean())
