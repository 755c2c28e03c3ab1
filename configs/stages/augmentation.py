"""Settings of what changes training crops of the segmenter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from vesselforge.configs.base import Filled, Settings


def _low_high(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"found {list(pair)}, expected [low, high] with low ≤ high")
    return pair


Zoom = Annotated[float, Field(ge=0.25, le=4)]


class AugmentSettings(Settings):
    """Random changes to training crops of the segmenter. 0 or false switches one off; zoom: [1, 1].

    The defaults are the standard augmentation; `STRONG` is the one for models that meet other
    cameras, and the control of studies of synthetic images.
    """

    flip: bool = Field(True, description="mirrors and quarter turns, all 8 equally likely")
    warp_share: float = Field(0.2, ge=0, le=1)
    """share of crops that are rotated and zoomed; resampling blurs the thinnest vessels and their
    labels, so the others keep their pixels"""
    rotate_deg: float = Field(180.0, ge=0, le=180, description="rotation, uniform in ± this")
    zoom: Annotated[tuple[Zoom, Zoom], AfterValidator(_low_high)] = (0.85, 1.15)
    """side of the piece that a crop shows, in sides of the crop (2: all is half as large), drawn
    from [low, high]: uniformly, or, where high > 2 · low, log-uniformly"""
    brightness: float = Field(0.1, ge=0, le=1, description="added value, uniform in ± this")
    contrast: float = Field(0.2, ge=0, lt=1, description="contrast factor, uniform in 1 ± this")
    saturation: float = Field(0.2, ge=0, le=1, description="saturation factor, uniform in 1 ± this")
    gamma: float = Field(0.2, ge=0, lt=1, description="gamma exponent, uniform in 1 ± this")
    noise: float = Field(0.02, ge=0, le=1, description="largest sd of added Gaussian noise")
    vessel_contrast: float = Field(0.0, ge=0, lt=1)
    """factor on how much darker vessels are than their surroundings, uniform in 1 ± this"""
    channel_gamma: float = Field(0.0, ge=0, lt=1)
    """a further gamma exponent for each channel, uniform in 1 ± this"""
    hue: float = Field(0.0, ge=0, le=180)
    """rotation of colours about grey, degrees, uniform in ± this"""
    blur: float = Field(0.0, ge=0, le=8)
    """largest sd of a Gaussian blur, pixels, uniform from 0"""


STRONG: dict[str, Any] = {
    "warp_share": 0.5,
    "zoom": (0.5, 2.0),
    "contrast": 0.4,
    "saturation": 0.5,
    "gamma": 0.4,
    "noise": 0.05,
    "vessel_contrast": 0.4,
    "channel_gamma": 0.3,
    "hue": 10.0,
    "blur": 1.2,
}
"""What else a camera could have made of the same retina. Gamma per channel and vessel contrast are
after Sun et al. 2020 (arXiv 2007.15883)."""


class StrongAugmentSettings(Filled, AugmentSettings):
    """Changes to training crops, beyond what one camera makes of a retina."""

    @classmethod
    def filling(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The rest of the strong augmentation."""
        return STRONG

    @classmethod
    def otherwise(cls, name: str) -> str:
        found = STRONG.get(name, cls.model_fields[name].default)
        return str(list(found) if isinstance(found, tuple) else found)

    @property
    def plain(self) -> AugmentSettings:
        """The same as any other augmentation."""
        return AugmentSettings.model_validate(self.model_dump())


class StudentAugmentSettings(Filled, AugmentSettings):
    """Changes to training crops of a student; what is not set is as the teacher has it."""

    @classmethod
    def otherwise(cls, name: str) -> str:
        return "as in `teacher.augment`"
