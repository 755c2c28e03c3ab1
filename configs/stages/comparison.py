"""Settings of `segmenter.compare`: one model against another on validation images."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vesselforge.configs.base import Settings


class CompareSettings(Settings):
    """Champion and challenger on the same validation images."""

    leave_out: list[str] = Field(
        [], description="validation images that one of the two was trained on"
    )
    runtime: Literal["torch", "auto", "fast", "fast-bfloat16"] = Field(
        "torch", description="what predicts"
    )
