"""The label of an image: what the teacher sees in it, the mask that came with it, or that mask as
far as the teacher agrees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import LabelSettings
from vesselforge.data.imageset import ImageRecord, LoadedImage, load_mask
from vesselforge.engine.artifacts import Inputs
from vesselforge.segmenter.labels.filters import Figures
from vesselforge.segmenter.metrics.topology import slack_f1
from vesselforge.segmenter.models import Model

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]

TEACHER = "teacher"


@dataclass(frozen=True)
class Label:
    """mask [H, W] bool. figures: what the filters judge it by. soft [H, W] in [0, 1]: the teacher's
    probability where its map is the label, else None. weight [H, W] in [0, 1]: of each pixel in the
    loss; None: 1 everywhere. Outside the field of view there is no vessel, and no doubt about it.
    """

    mask: Mask
    figures: Figures
    soft: Map | None = None
    weight: Map | None = None

    def turned(self, fov: Mask) -> Label:
        """Turned by 180° under the field of view [H, W], which stays."""
        soft, weight = self.soft, self.weight
        return replace(
            self,
            mask=self.mask[::-1, ::-1] & fov,
            soft=None if soft is None else soft[::-1, ::-1] * fov,
            weight=None if weight is None else np.where(fov, weight[::-1, ::-1], np.float32(1)),
        )


class Labeller:
    """Labels images as the settings say, before any mask is turned."""

    def __init__(self, settings: LabelSettings, inputs: Inputs) -> None:
        """inputs: `samples`; `teacher` unless the labels are the images' own. Raises DataError
        where a teacher is missing."""
        self.settings, self.folder = settings, inputs["samples"].path
        self.teacher: Model | None = None
        if settings.labels != "own":
            if TEACHER not in inputs:
                raise DataError(
                    "pseudo_label: found no input 'teacher', expected a trained segmenter; give "
                    "it, or choose labels: own, which asks none"
                )
            self.teacher = Model.load(inputs[TEACHER].path)

    def label(self, sample: ImageRecord, loaded: LoadedImage) -> Label:
        """The label of an image. Raises DataError where its own mask is needed and does not fit."""
        fov, settings = loaded.fov, self.settings
        own = None if settings.labels == "teacher" else self._own(sample, loaded)
        if self.teacher is None:
            assert own is not None  # without a teacher there is nothing else
            return Label(own, Figures(loaded.id, _share(own, fov)))
        prob = self.teacher.predict(loaded.image) * fov
        seen = self.teacher.mask(prob)
        mask = seen if own is None else own
        figures = Figures(
            loaded.id,
            _share(mask, fov),
            confidence=expected_dice(prob, seen),
            agreement=None if own is None else agreed(own, seen),
        )
        if own is not None:
            return Label(own, figures, weight=1 - np.abs(own - prob))
        weight = certainty(prob) if settings.pixel_weights == "certainty" else None
        return Label(seen, figures, prob, weight)

    def _own(self, sample: ImageRecord, loaded: LoadedImage) -> Mask:
        mask = load_mask(self.folder, sample)
        if mask.shape != loaded.fov.shape:
            (height, width), (tall, wide) = mask.shape, loaded.fov.shape
            raise DataError(
                f"{self.folder}: the mask of image {sample.id!r} has {width}×{height} pixels, "
                f"expected {wide}×{tall} as the image; make the samples again"
            )
        return mask & loaded.fov


def check_masks(settings: LabelSettings, folder: Path, samples: Sequence[ImageRecord]) -> None:
    """Raise DataError when the labels are the images' own and an image has none."""
    bare = [sample.id for sample in samples if sample.mask is None]
    if settings.labels != "teacher" and bare:
        raise DataError(
            f"{folder}: found no mask with image {bare[0]!r} ({len(bare)} of {len(samples)} images "
            f"have none), which labels: {settings.labels} needs; draw samples that have masks "
            "(phantoms, generator.channels: rgb+mask), or choose labels: teacher"
        )


def expected_dice(prob: NDArray[np.floating], mask: Mask) -> float:
    """Confidence in [0, 1]: the Dice score of the hard mask that the probabilities expect,

    2·Σ_{mask} p / (Σ mask + Σ p); exactly so in the limit of many independent pixels of a
    calibrated teacher. 0 for an empty mask.
    """
    below = float(mask.sum() + prob.sum())
    return 2 * float(prob[mask].sum()) / below if mask.any() else 0.0


def certainty(prob: Map) -> Map:
    """1 − binary entropy in bits of each pixel: 1 at probabilities 0 and 1, 0 at 1/2."""
    p = prob.astype(np.float64)
    return np.asarray(1 - (entr(p) + entr(1 - p)) / np.log(2), np.float32)


def agreed(own: Mask, seen: Mask) -> float:
    """How far two masks of the same image [H, W] agree, in [0, 1]: Dice with a slack of one pixel
    (see `slack_f1`), 1 where both are empty.

    Most vessels are 1 to 3 pixels wide: in windows of 64 pixels of DRIVE's maps a shift by one row
    and column alone takes Dice to 0.66, one pixel more of width to 0.69. With slack both are 1.0,
    and maps that have nothing to do with each other have 0.22 (95 % of them below 0.42).
    """
    return slack_f1(own, seen) if own.any() or seen.any() else 1.0


def _share(mask: Mask, fov: Mask) -> float:
    return float(mask[fov].mean())
