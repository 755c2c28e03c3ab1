"""Which synthetic images are good enough, and why the others are not.

A reason is a sentence whose first word names its filter, fit for counting. An image that several
filters would reject has the first one's reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from vesselforge.configs.settings import LabelSettings
from vesselforge.data.structure import TreeFigures

T = TypeVar("T")


@dataclass(frozen=True)
class Nearest:
    """The training image nearest to a sample. suspicious: nearer than comes by chance."""

    image: str
    distance: float
    suspicious: bool


@dataclass(frozen=True)
class Figures:
    """What was measured of one labelled image; None where there is nothing to measure it by, or a
    filter is off that needs it.

    vessel_share: of the field of view. confidence: expected Dice of the teacher's mask. agreement:
    of the image's own mask with that one, see `labeller.agreed`. in_range: whether the map looks
    like a real one, see `real_maps`; it rejects nothing. fault: which figure of the tree is out of
    the range of `real_range` and by how much, empty when none is.
    """

    id: str
    vessel_share: float
    confidence: float | None = None
    agreement: float | None = None
    tree: TreeFigures | None = None
    in_range: bool | None = None
    fault: str | None = None
    nearest: Nearest | None = None


def why_rejected(one: Figures, settings: LabelSettings) -> str:
    """The reason to reject an image, or an empty string; the settings say what each filter does,
    and one that asks the teacher is off where the labels are made without.

    Raises ValueError where a filter is on and its figure was not measured.
    """
    share = one.vessel_share
    if share < settings.min_vessel_share:
        return f"vessel-share {share:.4f} is below {settings.min_vessel_share:g}"
    if share > settings.max_vessel_share:
        return f"vessel-share {share:.4f} is above {settings.max_vessel_share:g}"
    least = settings.min_confidence
    if settings.labels != "own" and least and (sure := _known(one.confidence)) < least:
        return f"confidence {sure:.3f} is below {least:g}"
    least = settings.min_agreement
    if settings.labels == "agreement" and least and (agreed := _known(one.agreement)) < least:
        return f"agreement {agreed:.3f} is below {least:g}"
    if settings.real_range is not None and (fault := _known(one.fault)):
        return f"real-range {fault}"
    if settings.reject_copies and (near := _known(one.nearest)).suspicious:
        return f"copies {near.image}: distance {near.distance:.4g} is less than comes by chance"
    return ""


def _known(value: T | None) -> T:
    if value is None:
        raise ValueError("a filter is on whose figure was not measured")
    return value
