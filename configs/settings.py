"""The settings of every stage, and `PipelineConfig`, which holds one of each.

Field descriptions are shown by Prefect's parameter form.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from vesselforge.configs.base import Settings, operational, time_limit
from vesselforge.configs.catalogue import DatasetName
from vesselforge.configs.retrain import RetrainSettings
from vesselforge.configs.sources import Source, StyleGAN2Source, uses_sources
from vesselforge.configs.stages.augmentation import AugmentSettings as AugmentSettings
from vesselforge.configs.stages.comparison import CompareSettings as CompareSettings
from vesselforge.configs.stages.generator import GeneratorSettings, SampleSettings, ScoreSettings
from vesselforge.configs.stages.labels import LabelSettings as LabelSettings
from vesselforge.configs.stages.labels import PseudoLabelSettings
from vesselforge.configs.stages.segmenter import EnsembleMethods, EvaluateSettings, FitSettings
from vesselforge.configs.stages.segmenter import EnsembleSettings as EnsembleSettings

Order = Literal["synthetic-first", "real-first", "mixed"]
"""What a student sees in its two phases; mixed: both kinds in every batch of one phase."""


class PhantomSettings(Settings):
    """Procedural fundus images with exact vessel masks."""

    train: int = Field(16, ge=1, le=10000, description="training images")
    validation: int = Field(4, ge=1, le=10000, description="validation images")
    test: int = Field(8, ge=0, le=10000, description="test images")
    size: int = Field(192, ge=64, le=4096, description="height and width in pixels")
    seed: int = Field(0, ge=0, description="same seed, same images")


class DataSettings(Settings):
    """Which dataset, where, and how its files are matched."""

    name: DatasetName = Field(
        "phantom",
        description="dataset layout; paired: own images/ and masks/; images: any folder of images, "
        "for the generator alone",
    )
    root: Path | None = operational(
        None,
        description="dataset folder; default: its usual name under VESSELFORGE_DATA or ./datasets",
    )
    fold: int = Field(
        0, ge=0, le=4, description="STARE only: which 4 of the 20 images are the test"
    )
    pattern: str | None = Field(
        None,
        description="paired only: regular expression with a group `id`, searched in file stems "
        "to match images, masks and FOVs; default: equal stems",
    )
    validation_share: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="paired and images: share of training images held back, for validation or to "
        "tell copies from chance likeness; 0 (images only): none",
    )
    test_share: float = Field(
        0.2, ge=0, lt=1, description="paired only: share of all images kept for the test"
    )
    exclude: list[str] = operational(
        [], description="identifiers of images to leave out (the others are what is hashed)"
    )
    phantom: PhantomSettings = Field(PhantomSettings(), description="phantom only")

    @model_validator(mode="after")
    def _shares_leave_training_images(self) -> Self:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share + test_share must be below 1")
        if self.validation_share == 0 and self.name != "images":
            raise ValueError("validation_share must be above 0: thresholds are chosen there")
        return self

    @model_validator(mode="after")
    def _own_images_have_a_place(self) -> Self:
        if self.name == "images" and self.root is None:
            raise ValueError("images needs `root`, the folder of the images")
        return self


class PrepareSettings(Settings):
    """Which part of a dataset becomes an image set; test pixels are an artifact of their own.

    all: every image as a test image, of a set that nothing is trained on.
    """

    data: DataSettings
    part: Literal["development", "test", "all"]


class SubsetSettings(Settings):
    """So many training images of one or several sets; the other splits stay whole."""

    count: int = Field(ge=1, description="training images")
    order: Literal["listed", "drawn"] = Field(
        "listed",
        description="listed: the first ones, as numbered; drawn: by a hash of seed and id, so "
        "that smaller subsets lie inside larger ones",
    )
    rest: bool = Field(False, description="drawn: those that are not drawn, without labels")
    seed: int = Field(0, ge=0, description="of drawn")


@uses_sources
class PipelineConfig(Settings):
    """Everything `vesselforge run` does, stage by stage."""

    name: str = Field(
        "run", pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="folder under workspace/runs"
    )
    data: DataSettings = Field(DataSettings(), description="the real images")
    teacher: FitSettings = Field(FitSettings(), description="segmenter trained on real images")
    source: Source = Field(
        StyleGAN2Source(), description="where synthetic images come from; `sample.count` of them"
    )
    generator: GeneratorSettings = Field(GeneratorSettings(), description="StyleGAN2-ADA")
    sample: SampleSettings = Field(SampleSettings(), description="synthetic images")
    score: ScoreSettings = Field(ScoreSettings(), description="FID and KID")
    pseudo_label: PseudoLabelSettings = Field(PseudoLabelSettings(), description="labels")
    order: Order = Field(
        "synthetic-first",
        description="what the student sees when; mixed: both kinds in every batch, settings of "
        "pretrain, steps of both",
    )
    pretrain: FitSettings = Field(FitSettings(), description="student, first phase")
    finetune: FitSettings = Field(FitSettings(lr=5e-4), description="student, second phase")
    ensembles: EnsembleMethods = Field(
        ["mean"], min_length=1, description="ways to combine teacher and students, all scored"
    )
    evaluate: EvaluateSettings = Field(EvaluateSettings(), description="test-split scoring")
    retrain: RetrainSettings = Field(
        RetrainSettings(), description="`vesselforge retrain`: when a new model is promoted"
    )
    stage_timeout: float | None = time_limit()

    @model_validator(mode="after")
    def _one_student(self) -> Self:
        if self.pretrain.network != self.finetune.network:
            raise ValueError("pretrain.network and finetune.network must be the same network")
        return self

    @model_validator(mode="after")
    def _mixed_needs_crops(self) -> Self:
        if self.order == "mixed" and self.pretrain.source == "pool":
            raise ValueError("order: mixed needs pretrain.source: crops")
        return self
