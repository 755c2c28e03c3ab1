"""The label of an image: what the teacher sees in it, the mask that came with it, or that mask as
far as the teacher agrees."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from vesselforge.configs.settings import LabelSettings
from vesselforge.data.fov import derive_fov
from vesselforge.data.imageset import PHOTOGRAPHS, ImageRecord, LoadedImage, load_mask
from vesselforge.data.structure import widened
from vesselforge.engine.artifacts import Inputs
from vesselforge.segmenter.inference.showing import showing
from vesselforge.segmenter.metrics.confusion import harmonic, ratio
from vesselforge.segmenter.models import Model

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Label:
    """mask [H, W] bool. soft [H, W] in [0, 1]: the teacher's probability where its map is the
    label, else None. weight [H, W] in [0, 1]: of each pixel in the loss; None: 1 everywhere.
    Outside the field of view there is no vessel, and no doubt about it.

    confidence: expected Dice of the teacher's mask, None without a teacher. agreement: of the
    image's own mask with that one, see `agreed`; None where only one of them was asked.
    """

    mask: Mask
    soft: Map | None = None
    weight: Map | None = None
    confidence: float | None = None
    agreement: float | None = None

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
        """inputs: `samples`; `teacher` unless the labels are the images' own."""
        self.settings, self.folder = settings, inputs["samples"].path
        self.photographs = inputs["samples"].kind in PHOTOGRAPHS
        own = settings.labels == "own"
        self.teacher = None if own else Model.load(inputs["teacher"].path)

    def label(self, sample: ImageRecord, loaded: LoadedImage) -> Label:
        """The label of an image."""
        fov, settings = loaded.fov, self.settings
        taught = settings.labels == "teacher"
        own = None if taught else load_mask(self.folder, sample) & fov
        if self.teacher is None:
            assert own is not None  # without a teacher there is nothing else
            return Label(own)
        scale = self._scale(self.teacher, loaded)
        prob = self.teacher.predict(loaded.image, scale=scale) * fov
        seen = self.teacher.mask(prob, scale)
        sure = expected_dice(prob, seen)
        if own is not None:
            trust = 1 - np.abs(own - prob)
            return Label(own, weight=trust, confidence=sure, agreement=agreed(own, seen))
        weight = certainty(prob) if settings.pixel_weights == "certainty" else None
        return Label(seen, prob, weight, sure)

    def _scale(self, teacher: Model, loaded: LoadedImage) -> float:
        """At which the teacher is shown an image. Synthetic ones without a border are windows of
        the training's images, at its magnification."""
        fov = loaded.fov
        if fov.all():
            if not self.photographs:
                return 1.0
            fov = derive_fov(loaded.image)  # sets without masks come without it
        return showing(teacher, loaded.image, fov).scale


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
    """How far two masks of the same image [H, W] agree, in [0, 1]: F1 with 1 px of slack (`f1_1px`
    of a score), the harmonic mean of how much of each lies within one row and column of the other.
    0 where one is empty, 1 where both are.

    Most vessels are 1 to 3 pixels wide: in windows of 64 pixels of DRIVE's maps a shift by one row
    and column alone takes Dice to 0.66, one pixel more of width to 0.69. With slack both are 1.0,
    and maps that have nothing to do with each other have 0.22 (95 % of them below 0.42).
    """
    if not (own.any() or seen.any()):
        return 1.0
    shares = [
        ratio(np.count_nonzero(each & widened(other)), np.count_nonzero(each))
        for each, other in ((own, seen), (seen, own))
    ]
    return float(harmonic(*shares))
