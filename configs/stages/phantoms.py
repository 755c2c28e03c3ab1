"""Settings of the stage that draws phantoms as training images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vesselforge.configs.base import Settings


class PhantomLook(Settings):
    """What phantoms look like: of the stage and of the source."""

    size: int | None = Field(
        None,
        ge=64,
        le=4096,
        description="height and width in pixels; default: of the real images, 540 for generic",
    )
    appearance: Literal["generic", "fitted"] = Field(
        "fitted",
        description="fitted: colours, noise, vessels and their widths as in the real training "
        "images; generic: as in fundus photographs in general",
    )
    randomise: float = Field(
        0.0,
        ge=0,
        le=1,
        description="domain randomisation: colour, contrast, blur, zoom, lesions, beyond any one "
        "camera, for models that meet others; 0: none",
    )


class PhantomDrawSettings(PhantomLook):
    """Procedural fundus images with exact vessel masks, to train on."""

    count: int = Field(100, ge=1, le=1_000_000, description="images")
    seed: int = Field(0, ge=0, lt=2**32, description="image i is made from seed + i alone")
