"""Settings of the labels of synthetic images: whose they are, and which images are good enough."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from vesselforge.configs.base import Settings

Labels = Literal["teacher", "own", "agreement"]


class PseudoLabelSettings(Settings):
    """How a teacher labels synthetic images, and which images are good enough.

    Filters that are off reject nothing; those that ask the teacher (min_confidence, min_agreement)
    judge no image whose label is made without one.
    """

    pixel_weights: Literal["none", "certainty"] = "none"
    """maps of confidence for the loss; certainty: 1 − entropy of the teacher's probability in
    bits"""
    min_confidence: float = Field(0.6, ge=0, le=1)
    """reject below; the Dice that the teacher itself expects of its hard mask (not with labels:
    own)"""
    min_agreement: float = Field(0.5, ge=0, le=1)
    """labels: agreement: reject below; Dice of the image's own mask and the teacher's, with a slack
    of one pixel"""
    min_vessel_share: float = Field(0.01, ge=0, le=1, description="reject below (share of the FOV)")
    max_vessel_share: float = Field(0.45, ge=0, le=1, description="reject above (share of the FOV)")
    real_range: float | None = Field(None, gt=0, le=1)
    """reject vessel maps whose density, mean calibre or number of components lies outside this
    central share of equally large windows of the real ones, such as 0.98"""
    reject_copies: bool = False
    """reject images nearer to a training image than `score` calls suspicious"""

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.min_vessel_share >= self.max_vessel_share:
            raise ValueError("min_vessel_share must be below max_vessel_share")
        return self


class LabelChoice(Settings):
    """Whose vessel masks synthetic images get: of the stage, and of every source."""

    labels: Labels = "teacher"
    """teacher: the teacher's vessel maps; own: the mask that comes with the image; agreement: the
    own mask, each pixel weighted 1 − |mask − teacher's probability|"""
    turned_masks: bool = False
    """negative control: every mask is turned by 180°, so that labels are right in kind and wrong in
    place"""

    @model_validator(mode="after")
    def _turned_masks_are_not_judged_by_the_teacher(self) -> Self:
        if self.turned_masks and self.labels == "agreement":
            raise ValueError("turned_masks: true goes with labels: own or teacher, not agreement")
        return self


class LabelSettings(PseudoLabelSettings, LabelChoice):
    """The stage's settings: the filters, and what a pipeline takes from the images' source."""


def unfit(filters: PseudoLabelSettings, labels: Labels) -> str:
    """What these labels cannot have, and what to do; empty where all is well."""
    found = f"found pixel_weights: {filters.pixel_weights}"
    if labels == "teacher" or filters.pixel_weights == "none":
        return ""
    if labels == "own":
        return (
            f"labels: own asks no teacher, {found} among the filters; leave it out, or choose "
            "labels: agreement"
        )
    return (
        "labels: agreement has weights of its own, 1 − |own mask − teacher's probability|, "
        f"{found}; set pixel_weights: none"
    )
