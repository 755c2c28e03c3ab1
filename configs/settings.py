"""The settings of every stage, and `PipelineConfig`, which holds one of each.

Field descriptions are shown by Prefect's parameter form and by `vesselforge settings`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from configs.base import Device, Settings, operational
from configs.generator import GeneratorSettings, SampleSettings, ScoreSettings


class PhantomSettings(Settings):
    """Procedural fundus images with exact vessel masks."""

    train: int = Field(16, ge=1, le=10000, description="training images")
    validation: int = Field(4, ge=1, le=10000, description="validation images")
    test: int = Field(8, ge=0, le=10000, description="test images")
    size: int = Field(192, ge=64, le=4096, description="height and width in pixels")
    seed: int = Field(0, ge=0, description="same seed, same images")


class DataSettings(Settings):
    """Which dataset, where, and how its files are matched."""

    name: Literal["phantom", "drive", "chase-db1", "stare", "paired", "images"] = Field(
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
    labels: Literal["auto", "none", "folders", "csv", "json"] = operational(
        "auto",
        description="images only: what a conditional generator is told; folders: the sub-folder "
        "is the class; csv: labels.csv; json: dataset.json; auto: whichever there is "
        "(the labels themselves, not this choice, are identity)",
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


class AugmentSettings(Settings):
    """Random changes to training crops of the segmenter. 0 or false switches one off."""

    flip: bool = Field(True, description="mirrors and quarter turns, all 8 equally likely")
    warp_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="share of crops that are rotated and zoomed; resampling blurs the thinnest "
        "vessels and their labels, so the others keep their pixels",
    )
    rotate_deg: float = Field(180.0, ge=0, le=180, description="rotation, uniform in ± this")
    scale: float = Field(0.15, ge=0, lt=1, description="zoom, uniform in 1 ± this")
    brightness: float = Field(0.1, ge=0, le=1, description="added value, uniform in ± this")
    contrast: float = Field(0.2, ge=0, lt=1, description="contrast factor, uniform in 1 ± this")
    saturation: float = Field(0.2, ge=0, le=1, description="saturation factor, uniform in 1 ± this")
    gamma: float = Field(0.2, ge=0, lt=1, description="gamma exponent, uniform in 1 ± this")
    noise: float = Field(0.02, ge=0, le=1, description="largest sd of added Gaussian noise")


class FitSettings(Settings):
    """One training of a segmenter: teacher, pretraining and fine-tuning are the same loop."""

    network: Literal["sa-unet"] = Field("sa-unet", description="name in segmenter.networks")
    drop: float = Field(0.18, ge=0, lt=1, description="DropBlock drop rate (paper: 0.18 on DRIVE)")
    drop_block: int = Field(7, ge=1, le=15, description="DropBlock block size in pixels, odd")
    steps: int = Field(1000, ge=1, description="optimiser steps")
    batch: int = Field(8, ge=1, le=1024, description="crops per step")
    crop: int = Field(160, ge=16, le=4096, description="crop side in pixels, a multiple of 8")
    loss: Literal["bce", "bce-dice"] = Field("bce-dice", description="training loss")
    optimizer: Literal["adam", "adamw"] = Field("adamw", description="optimiser")
    lr: float = Field(2e-3, gt=0, le=1, description="highest learning rate")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="AdamW only")
    schedule: Literal["constant", "cosine", "step"] = Field(
        "cosine", description="learning rate over the steps; `step`: ×0.1 after two thirds"
    )
    warmup: int = Field(50, ge=0, description="steps of linear warm-up")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of the weight average; 0: none")
    soft_labels: bool = Field(True, description="train on probabilities where the set has them")
    validate_every: int = Field(250, ge=1, description="steps between validations")
    augment: AugmentSettings = Field(AugmentSettings(), description="training augmentation")
    seed: int = Field(0, ge=0, description="same seed, same network on the same device")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16: autocast, several times faster where the CPU has AMX"
    )
    device: Device = operational("auto", description="auto: CUDA when there is one")
    checkpoint_every: int = operational(50, ge=1, description="steps between checkpoints")

    @model_validator(mode="after")
    def _crop_fits_the_network(self) -> Self:
        if self.crop % 8:
            raise ValueError(f"crop must be a multiple of 8, not {self.crop}")
        if self.drop_block % 2 == 0:
            raise ValueError(f"drop_block must be odd, not {self.drop_block}")
        return self


class PseudoLabelSettings(Settings):
    """Labels for synthetic images by the teacher, and which images are good enough."""

    threshold: float | None = Field(
        None, gt=0, lt=1, description="hard-mask threshold; default: the teacher's own"
    )
    min_confidence: float = Field(
        0.6,
        ge=0,
        le=1,
        description="reject below; the Dice that the teacher itself expects of its hard mask",
    )
    min_vessel_share: float = Field(0.01, ge=0, le=1, description="reject below (share of the FOV)")
    max_vessel_share: float = Field(0.45, ge=0, le=1, description="reject above (share of the FOV)")

    @model_validator(mode="after")
    def _range_is_not_empty(self) -> Self:
        if self.min_vessel_share >= self.max_vessel_share:
            raise ValueError("min_vessel_share must be below max_vessel_share")
        return self


class EnsembleSettings(Settings):
    """How several segmenters become one."""

    method: Literal["mean"] = Field("mean", description="mean of the probabilities")


class EvaluateSettings(Settings):
    """Scoring on the test split."""

    flips: bool = Field(
        False,
        description="predict the mean over an image and its three mirror images, about 0.002 F1 "
        "better and four times slower; thresholds are chosen on validation in the same way",
    )
    bootstrap: int = Field(2000, ge=100, description="resamples of images behind 95 % intervals")
    seed: int = Field(0, ge=0, description="of the bootstrap")


class IterateSettings(Settings):
    """Optional rounds in which the student becomes the next teacher."""

    rounds: int = Field(1, ge=1, le=20, description="1: no iteration")
    min_gain: float = Field(
        0.001, ge=0, le=1, description="stop when validation F1 rises by less than this"
    )
    generator_kimg: float = Field(
        2.0, ge=0, description="fine-tuning of the generator in each further round; 0: keep it"
    )


class PrepareSettings(Settings):
    """Which half of a dataset becomes an image set; test pixels are an artifact of their own."""

    data: DataSettings
    part: Literal["development", "test"]


class PipelineConfig(Settings):
    """Everything `vesselforge run` does, stage by stage."""

    name: str = Field(
        "run", pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="folder under workspace/runs"
    )
    data: DataSettings = Field(DataSettings(), description="the real images")
    teacher: FitSettings = Field(FitSettings(), description="segmenter trained on real images")
    generator: GeneratorSettings = Field(GeneratorSettings(), description="StyleGAN2-ADA")
    sample: SampleSettings = Field(SampleSettings(), description="synthetic images")
    score: ScoreSettings = Field(ScoreSettings(), description="FID and KID")
    pseudo_label: PseudoLabelSettings = Field(PseudoLabelSettings(), description="labels")
    pretrain: FitSettings = Field(FitSettings(), description="student on synthetic images")
    finetune: FitSettings = Field(FitSettings(lr=5e-4), description="student on real images")
    iterate: IterateSettings = Field(IterateSettings(), description="optional rounds")
    evaluate: EvaluateSettings = Field(EvaluateSettings(), description="test-split scoring")

    @model_validator(mode="after")
    def _one_student(self) -> Self:
        if self.pretrain.network != self.finetune.network:
            raise ValueError("pretrain.network and finetune.network must be the same network")
        return self
