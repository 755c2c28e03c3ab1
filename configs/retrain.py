"""How scheduled retraining decides, and what it keeps."""

from __future__ import annotations

from pydantic import Field

from vesselforge.configs.base import Settings


class RetrainSettings(Settings):
    """A challenger is promoted only when it is shown not to be worse by more than the margin."""

    margin: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="F1 per validation image by which a new model may be worse than the champion",
    )
    alpha: float = Field(
        0.05,
        gt=0,
        lt=0.5,
        description="chance of promoting a model that is worse by the margin (one-sided paired t)",
    )
    keep: int = Field(
        5,
        ge=2,
        le=1000,
        description="newest versions whose models, runs and stages are kept; the champion and the "
        "one before it always are",
    )
    max_quarantined: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="share of bad images from which the run fails: the folder is then rather not "
        "mounted than badly annotated",
    )
