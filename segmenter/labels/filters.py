"""Which synthetic images are good enough, and why the others are not.

A reason is a sentence whose first word names its filter, fit for counting. An image that several
filters would reject has the first one's reason.
"""

from __future__ import annotations

from dataclasses import dataclass

from vesselforge.configs.settings import LabelSettings
from vesselforge.data.structure import TreeFigures


@dataclass(frozen=True)
class Nearest:
    """The training image nearest to a sample. suspicious: nearer than comes by chance."""

    image: str
    distance: float
    suspicious: bool


@dataclass(frozen=True)
class Figures:
    """What was measured of one labelled image; None where there is nothing to measure it by, or
    nobody asked.

    vessel_share: of the field of view. in_range: whether the map looks like a real one, see
    `real_maps`; it rejects nothing. fault: which figure of the tree is out of the range of
    `real_range` and by how much, empty when none is. confidence, agreement: see `labeller`. reason:
    to reject it, empty when it is good enough.
    """

    id: str
    vessel_share: float
    tree: TreeFigures
    in_range: bool | None = None
    fault: str = ""
    confidence: float | None = None
    agreement: float | None = None
    nearest: Nearest | None = None
    reason: str = ""


def why_rejected(one: Figures, settings: LabelSettings) -> str:
    """The reason to reject an image, or an empty string; the settings say what each filter does,
    and one whose figure was not measured is off."""
    share, sure, agreed, near = one.vessel_share, one.confidence, one.agreement, one.nearest
    if share < settings.min_vessel_share:
        return f"vessel-share {share:.4f} is below {settings.min_vessel_share:g}"
    if share > settings.max_vessel_share:
        return f"vessel-share {share:.4f} is above {settings.max_vessel_share:g}"
    if sure is not None and sure < settings.min_confidence:
        return f"confidence {sure:.3f} is below {settings.min_confidence:g}"
    if agreed is not None and agreed < settings.min_agreement:
        return f"agreement {agreed:.3f} is below {settings.min_agreement:g}"
    if one.fault:
        return f"real-range {one.fault}"
    if near is not None and near.suspicious:
        return f"copies {near.image}: distance {near.distance:.4g} is less than comes by chance"
    return ""
