"""Settings of the stage that draws phantoms."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from configs.base import Settings


class PhantomDrawSettings(Settings):
    """So many procedural images with exact masks."""

    count: int = Field(64, ge=1, le=1_000_000, description="number of images")
    seed: int = Field(0, ge=0, lt=2**32, description="image i is made from seed + i")
    size: int | None = Field(None, ge=64, le=4096, description="height and width in pixels")
    appearance: Literal["generic", "fitted"] = Field("generic", description="whose look")
    randomise: float = Field(0.0, ge=0, le=1, description="how far looks stray")
