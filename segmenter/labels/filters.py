"""Which synthetic images are good enough, and why the others are not.

A reason is a sentence whose first word names its filter, fit for counting. An image that several
filters would reject has the first one's reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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

    vessel_share: of the field of view. confidence: expected Dice of the teachers' mask. agreement:
    of the image's own mask with that one, see `labeller.agreed`. in_range: whether the map looks
    like a real one, see `likeness`; it rejects nothing. fault: which figure of the tree is out of
    the range of `real_range` and by how much, empty when none is. overlap: highest Dice with a real
    map, which is overlap_image's. uncertainty: see `teachers.uncertainty`.
    """

    id: str
    vessel_share: float
    confidence: float | None = None
    agreement: float | None = None
    tree: TreeFigures | None = None
    in_range: bool | None = None
    fault: str | None = None
    nearest: Nearest | None = None
    overlap: float | None = None
    overlap_image: str = ""
    uncertainty: float | None = None


def reject(images: Sequence[Figures], settings: LabelSettings) -> list[str]:
    """The reason of each image, empty for those to keep.

    First what an image is judged by alone (`why_rejected`); of those that are left, the share with
    the highest uncertainty. Raises ValueError where a filter is on and its figure was not measured.
    """
    reasons = [why_rejected(image, settings) for image in images]
    share = settings.worst_disagreement
    for i in _worst(images, reasons, share, lambda one: _known(one.uncertainty)):
        value = images[i].uncertainty
        reasons[i] = f"disagreement {value:.4g} is among the highest {share:g} of those left"
    return reasons


def why_rejected(image: Figures, settings: LabelSettings) -> str:
    """The reason to reject an image for itself, or an empty string."""
    share, labels = image.vessel_share, settings.labels
    if share < settings.min_vessel_share:
        return f"vessel-share {share:.4f} is below {settings.min_vessel_share:g}"
    if share > settings.max_vessel_share:
        return f"vessel-share {share:.4f} is above {settings.max_vessel_share:g}"
    if labels != "own" and (sure := _known(image.confidence)) < settings.min_confidence:
        return f"confidence {sure:.3f} is below {settings.min_confidence:g}"
    if labels == "agreement" and (agreed := _known(image.agreement)) < settings.min_agreement:
        return f"agreement {agreed:.3f} is below {settings.min_agreement:g}"
    if settings.real_range is not None and (fault := _known(image.fault)):
        return f"real-range {fault}"
    if settings.reject_copies and (near := _known(image.nearest)).suspicious:
        return f"copies {near.image}: distance {near.distance:.4g} is less than comes by chance"
    if settings.max_overlap is not None and (overlap := _known(image.overlap)) > (
        settings.max_overlap
    ):
        return f"overlap {overlap:.3f} with {image.overlap_image} is above {settings.max_overlap:g}"
    return ""


def share_of(share: float, count: int) -> int:
    """How many of `count` images a share is, rounded down: 0.3 of 10 is 3, of 9 it is 2."""
    return math.floor(round(share * count, 9))  # 0.29 · 100 is a little below 29 in floats


def _worst(
    images: Sequence[Figures],
    reasons: Sequence[str],
    share: float,
    badness: Callable[[Figures], float],
) -> list[int]:
    """Which of the images that have no reason yet are the worst; of equals, the later ones."""
    if not share:
        return []
    left = [i for i, reason in enumerate(reasons) if not reason]
    left.sort(key=lambda i: (badness(images[i]), i), reverse=True)
    return left[: share_of(share, len(left))]


def _known(value: T | None) -> T:
    if value is None:
        raise ValueError("a filter is on whose figure was not measured")
    return value
