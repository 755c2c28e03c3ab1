"""What the teachers see in an image: their probability map, and how far they disagree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import PseudoLabelSettings
from vesselforge.engine.artifacts import Inputs
from vesselforge.segmenter.combine import standard_deviation
from vesselforge.segmenter.components import masked, mean_of
from vesselforge.segmenter.labels.geometry import turned, turned_back, turns_that_fit
from vesselforge.segmenter.models import Model

Map = NDArray[np.float32]

TEACHER = "teacher"


@dataclass(frozen=True)
class Prediction:
    """prob [H, W] in [0, 1]: the mean over what was asked; sd [H, W] in [0, 0.5] over the same, or
    None where only one was."""

    prob: Map
    sd: Map | None


class Teachers:
    """One teacher as it is or in all orientations of the image, or several teachers."""

    def __init__(self, settings: PseudoLabelSettings, inputs: Inputs) -> None:
        """inputs: `teacher`, and with `disagreement: teachers` also `teacher-2`, ….

        Raises DataError where none is given, and where several are needed and only one is."""
        if TEACHER not in inputs:
            raise DataError(
                "pseudo_label: found no input 'teacher', expected a trained segmenter; give it, or "
                "choose labels: own, which asks none"
            )
        names = teacher_names(inputs) if settings.disagreement == "teachers" else [TEACHER]
        if settings.disagreement == "teachers" and len(names) < 2:
            raise DataError(
                "pseudo_label.disagreement: found a single teacher, expected at least two "
                "(inputs teacher, teacher-2, …); train more of them (synthetic.teachers of a "
                "study) or choose flips"
            )
        self.models = [Model.load(inputs[name].path) for name in names]
        self.flips = settings.disagreement == "flips"
        self.threshold = float(np.mean([model.threshold for model in self.models]))
        self.components = mean_of([model.components for model in self.models])

    def mask(self, prob: Map) -> NDArray[np.bool_]:
        """Where there are vessels, [H, W] bool, in a map of `ask`. Several teachers' threshold and
        rule of components are the means of theirs."""
        return masked(prob, self.threshold, self.components)

    def ask(self, image: NDArray[np.uint8]) -> Prediction:
        """image: [H, W, 3]. Flips: the 8 mirrors and quarter turns; 4 where it is not square."""
        if self.flips:
            [model] = self.models
            maps = [
                turned_back(model.predict(turned(image, n)), n) for n in turns_that_fit(image.shape)
            ]
        else:
            maps = [model.predict(image) for model in self.models]
        if len(maps) == 1:
            return Prediction(maps[0], None)
        members = np.stack(maps)
        return Prediction(members.mean(0), standard_deviation(members))


def teacher_names(inputs: Inputs) -> list[str]:
    """`teacher`, `teacher-2`, `teacher-3`, … as far as they are there, in this order."""
    further = [name for name in inputs if name.startswith(f"{TEACHER}-")]
    return [TEACHER, *sorted(further, key=lambda name: (len(name), name))]


def expected_dice(prob: NDArray[np.floating], mask: NDArray[np.bool_]) -> float:
    """Confidence in [0, 1]: the Dice score of the hard mask that the probabilities expect,

    2·Σ_{mask} p / (Σ mask + Σ p); exactly so in the limit of many independent pixels of a
    calibrated teacher. 0 for an empty mask.
    """
    below = float(mask.sum() + prob.sum())
    return 2 * float(prob[mask].sum()) / below if mask.any() else 0.0


def uncertainty(prob: Map, sd: Map, fov: NDArray[np.bool_]) -> float:
    """Disagreement of an image, at least 0: the mean sd in the field of view, divided by the mean
    probability of vessel there.

    The sd is about 0 on background, so that its mean alone would rank images by how few vessels
    they have. The quotient is the disagreement for each pixel of vessel expected: putting a piece
    of certain background beside an image does not change it. 0 where all say 0 everywhere.
    """
    vessel = float(prob[fov].sum(dtype=np.float64))
    return float(sd[fov].sum(dtype=np.float64)) / vessel if vessel > 0 else 0.0


def certainty(prob: Map) -> Map:
    """1 − binary entropy in bits of each pixel: 1 at probabilities 0 and 1, 0 at 1/2."""
    p = prob.astype(np.float64)
    return np.asarray(1 - (entr(p) + entr(1 - p)) / np.log(2), np.float32)


def agreement(sd: Map) -> Map:
    """1 − 2·sd of each pixel, in [0, 1], since members in [0, 1] have an sd of at most 1/2."""
    return np.asarray(np.clip(1 - 2 * sd, 0, 1), np.float32)
