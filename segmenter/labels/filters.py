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
    like a real one, see `real_maps`; it rejects nothing. fault: which figure of the tree is out of
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


@dataclass(frozen=True)
class Filter:
    """A way to reject images. settings: the fields of PseudoLabelSettings that belong to it, whose
    descriptions say what it does; while the last of them is 0, None or false it is off.

    judge: the reason to reject an image, without the filter's name, or an empty string.
    """

    name: str
    settings: tuple[str, ...]
    judge: Callable[[Figures, LabelSettings], str]
    of_a_teacher: bool = False
    """Whether it is off where no teacher was asked."""


def _vessel_share(one: Figures, settings: LabelSettings) -> str:
    share = one.vessel_share
    if share < settings.min_vessel_share:
        return f"{share:.4f} is below {settings.min_vessel_share:g}"
    over = share > settings.max_vessel_share
    return f"{share:.4f} is above {settings.max_vessel_share:g}" if over else ""


def _confidence(one: Figures, settings: LabelSettings) -> str:
    low = (sure := _known(one.confidence)) < settings.min_confidence
    return f"{sure:.3f} is below {settings.min_confidence:g}" if low else ""


def _agreement(one: Figures, settings: LabelSettings) -> str:
    if settings.labels != "agreement":
        return ""
    low = (agreed := _known(one.agreement)) < settings.min_agreement
    return f"{agreed:.3f} is below {settings.min_agreement:g}" if low else ""


def _copies(one: Figures, settings: LabelSettings) -> str:
    near = _known(one.nearest)
    less = f"{near.image}: distance {near.distance:.4g} is less than comes by chance"
    return less if near.suspicious else ""


def _overlap(one: Figures, settings: LabelSettings) -> str:
    assert settings.max_overlap is not None
    high = (overlap := _known(one.overlap)) > settings.max_overlap
    return (
        f"{overlap:.3f} with {one.overlap_image} is above {settings.max_overlap:g}" if high else ""
    )


FILTERS = (
    Filter("vessel-share", ("min_vessel_share", "max_vessel_share"), _vessel_share),
    Filter("confidence", ("min_confidence",), _confidence, of_a_teacher=True),
    Filter("agreement", ("min_agreement",), _agreement, of_a_teacher=True),
    Filter("real-range", ("real_range",), lambda one, _: _known(one.fault)),
    Filter("copies", ("reject_copies",), _copies),
    Filter("overlap", ("max_overlap",), _overlap),
)
"""In their turn. `worst_disagreement` comes after all of them: it looks at images together."""


def reject(images: Sequence[Figures], settings: LabelSettings) -> list[str]:
    """The reason of each image, empty for those to keep.

    First what an image is judged by alone (FILTERS); of those that are left, the share with the
    highest uncertainty; of equals, the later ones. Raises ValueError where a filter is on and its
    figure was not measured.
    """
    reasons = [why_rejected(image, settings) for image in images]
    if share := settings.worst_disagreement:
        left = [i for i, reason in enumerate(reasons) if not reason]
        left.sort(key=lambda i: (_known(images[i].uncertainty), i), reverse=True)
        for i in left[: share_of(share, len(left))]:
            value = images[i].uncertainty
            reasons[i] = f"disagreement {value:.4g} is among the highest {share:g} of those left"
    return reasons


def why_rejected(image: Figures, settings: LabelSettings) -> str:
    """The reason to reject an image for itself, or an empty string."""
    for each in FILTERS:
        on = getattr(settings, each.settings[-1]) and not (
            each.of_a_teacher and settings.labels == "own"
        )
        if on and (reason := each.judge(image, settings)):
            return f"{each.name} {reason}"
    return ""


def share_of(share: float, count: int) -> int:
    """How many of `count` images a share is, rounded down: 0.3 of 10 is 3, of 9 it is 2."""
    return math.floor(round(share * count, 9))  # 0.29 · 100 is a little below 29 in floats


def _known(value: T | None) -> T:
    if value is None:
        raise ValueError("a filter is on whose figure was not measured")
    return value
