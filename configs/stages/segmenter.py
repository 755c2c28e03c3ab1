"""Settings of the segmenters' stages: training, ensembles, evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from vesselforge.configs.base import Beside, Device, Filled, Settings, as_given, operational
from vesselforge.configs.choices import LOSSES, NETWORKS, described, known
from vesselforge.configs.stages.augmentation import AugmentSettings, StudentAugmentSettings

NetworkName = Annotated[
    str, AfterValidator(known(NETWORKS)), Field(json_schema_extra={"enum": list(NETWORKS)})
]
LossName = Annotated[
    str, AfterValidator(known(LOSSES)), Field(json_schema_extra={"enum": list(LOSSES)})
]
Runtime = Literal["torch", "auto", "fast", "fast-bfloat16"]
Schedule = Literal["constant", "cosine", "step", "restarts", "plateau"]
ThresholdOn = Literal["validation", "development", "none"]
RANDOM = Path("none")
"""What `start_from` says where another recipe has a model to begin with, and this one none."""
Crop = Annotated[int, Field(ge=16, le=4096, multiple_of=8)]


class SegmenterSettings(Settings):
    """A recipe: what a training of a segmenter is, whatever images it is shown."""

    network: NetworkName = Field("sa-unet", description=described(NETWORKS))
    drop: float | None = Field(None, ge=0, lt=1)
    """DropBlock drop rate; default: the network's own (0.18, …)"""
    pretrained: Literal["none", "imagenet"] = "none"
    """where the encoder of unet-v2 starts; imagenet is downloaded once"""
    start_from: Path | None = operational(None)
    """weights to begin with: the name of a model that comes with VesselForge, a run, or a folder
    with a model, of this very network (its content, not its path or name, is identity)"""
    steps: int = Field(1000, ge=1, description="optimiser steps")
    batch: int = Field(8, ge=1, le=1024, description="crops (or whole images) per step")
    source: Literal["crops", "pool"] = "crops"
    """crops: random crops, changed anew each step; pool: whole images in 13 fixed variants each, as
    SA-UNet's authors trained"""
    crop: Crop = Field(160, description="crops: side in pixels, a multiple of 8")
    pad: int | None = Field(None, ge=16, le=8192)
    """pool: side of the square that images are zero-padded to (592 for DRIVE); default: no more
    than the network needs"""
    pad_position: Literal["centre", "corner"] = "centre"
    """pool: image in the middle (SA-UNet) or at the top left (SA-UNetv2)"""
    scales: list[Annotated[float, Field(gt=0, le=4)]] = Field([1.0], min_length=1)
    """each batch is trained on at each of these sizes in turn"""
    loss: LossName = Field("bce-dice", description=described(LOSSES))
    head_weights: list[Annotated[float, Field(ge=0)]] = Field([1.0], min_length=1, max_length=4)
    """deep supervision: weight of each head's loss, finest first (sa2-net and unet-v2 have 4
    heads)"""
    optimizer: Literal["adam", "adamw"] = Field("adamw", description="optimiser")
    lr: float = Field(2e-3, gt=0, le=1, description="highest learning rate")
    min_lr: float = Field(0.0, ge=0, le=1, description="lowest: of plateau, restarts and cosine")
    clip_value: float = Field(0.0, ge=0, description="clamp gradients to ± this; 0: do not")
    schedule: Schedule = "cosine"
    """learning rate over the steps; step: ×0.1 after two thirds; restarts: cosine anew every
    `period` steps; plateau: ×0.5 when the validation loss has not fallen for 10 validations"""
    period: int = Field(1000, ge=1, description="restarts: steps of one cosine")
    early_stop: int = Field(0, ge=0)
    """end after so many validations without a lower loss; 0: never"""
    warmup: int = Field(50, ge=0, description="steps of linear warm-up")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of the weight average; 0: none")
    validate_every: int = Field(250, ge=1, description="steps between validations")
    keep: Literal["best", "last"] = "best"
    """weights of the highest validation F1, or the last"""
    threshold_on: ThresholdOn = "validation"
    """images on which the threshold of the kept weights is chosen; development: training and
    validation images, steadier where the validation images are few; none: it is 0.5, as in most
    papers"""
    calibrate: bool = False
    """probabilities are sigmoid(logit / temperature + shift), both fitted on the images of
    threshold_on, before the threshold is chosen"""
    components: bool = False
    """masks leave out pieces that are too small or have no sure pixel, by a rule chosen on the
    images of threshold_on: about as many pieces as people draw"""
    augment: AugmentSettings = Field(AugmentSettings(), description="crops: augmentation")
    seed: int = Field(0, ge=0, description="same seed, device and thread count: same network")
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast, faster where the CPU has AVX512-BF16 or AMX"""
    device: Device = operational("auto", description="auto: CUDA when there is one")
    checkpoint_every: int = operational(50, ge=1, description="steps between checkpoints")

    @model_validator(mode="after")
    def _the_network_can_do_it(self) -> Self:
        network = NETWORKS[self.network]
        if self.drop is not None and not network.drops:
            raise ValueError(
                f"drop: found {self.drop}, but {self.network} has no DropBlock; leave drop out"
            )
        if len(self.head_weights) > network.heads:
            raise ValueError(
                f"head_weights: found {len(self.head_weights)}, but {self.network} has "
                f"{network.heads} output; give one weight"
            )
        return self

    @model_validator(mode="after")
    def _all_of_it_goes_together(self) -> Self:
        if self.threshold_on == "none" and (self.calibrate or self.components):
            raise ValueError(
                "calibrate and components are chosen on the images of threshold_on, found none; "
                "set threshold_on: validation or development"
            )
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr ({self.min_lr:g}) must not exceed lr ({self.lr:g})")
        if self.pretrained != "none" and self.network != "unet-v2":
            raise ValueError(f"pretrained: {self.network} has no ImageNet weights, only unet-v2")
        if self.pretrained != "none" and self.begins_with is not None:
            raise ValueError(
                f"pretrained: {self.pretrained} beside start_from: {self.start_from}; a training "
                "begins with one of them, leave the other out"
            )
        return self

    @property
    def begins_with(self) -> Path | None:
        """The model whose weights are the first; None for random ones."""
        return None if self.start_from == RANDOM else self.start_from


class StudentSettings(Filled, SegmenterSettings):
    """The recipe of a student; what is not set is as in the teacher's."""

    start_from: Path | None = operational(None)
    """weights to begin with, as in `teacher`; none: random ones, whatever the teacher has"""
    augment: StudentAugmentSettings = Field(
        StudentAugmentSettings(), description="crops: augmentation"
    )

    @classmethod
    def beside(cls, teacher: SegmenterSettings, own: Any) -> Beside:
        """What a student beside this teacher is made from. own: what was given of it. A network
        that drops nothing does not take over how much to drop."""
        own, filling = as_given(own), teacher.model_dump()
        if isinstance(own, dict):
            if own.get("augment") is not None:
                own = own | {"augment": Beside(as_given(own["augment"]), filling["augment"])}
            network = NETWORKS.get(str(own.get("network")))
            if network is not None and not network.drops:
                filling["drop"] = None
        return Beside(own, filling)

    @classmethod
    def otherwise(cls, name: str) -> str:
        return "as in `teacher`"


class PhaseSettings(Settings):
    """What one of a student's two trainings has otherwise than the student's recipe."""

    steps: int | None = Field(None, ge=1, description="optimiser steps")
    batch: int | None = Field(None, ge=1, le=1024, description="crops (or whole images) per step")
    crop: Crop | None = Field(None, description="crops: side in pixels, a multiple of 8")
    lr: float | None = Field(None, gt=0, le=1, description="highest learning rate")
    schedule: Schedule | None = Field(None, description="learning rate over the steps")
    validate_every: int | None = Field(None, ge=1, description="steps between validations")
    threshold_on: ThresholdOn | None = None
    """images on which the threshold is chosen; none: 0.5"""
    start_from: Path | None = operational(None)
    """weights to begin with, as in `student` (none: random ones); of `finetune`: in the place of
    those of the first training, which then is not done"""

    def of(self, student: SegmenterSettings) -> SegmenterSettings:
        """The recipe of this training: the student's, but for what is set here.

        Raises ValidationError for values that do not go together.
        """
        changes = self.model_dump(exclude_none=True)
        return SegmenterSettings.model_validate(student.model_dump() | changes)


class FitSettings(SegmenterSettings):
    """The stage's settings: a recipe, and how a second set of images enters."""

    synthetic_share: float = Field(0.25, gt=0, lt=1)
    """crops, with a second, synthetic set of images: its share of every batch"""
    synthetic_augment: AugmentSettings | None = None
    """crops: augmentation of the second set; default: as `augment`"""


class StartSettings(Settings):
    """A trained model from outside the store, to begin with."""

    model: Path = operational(Path())
    """folder with a model of one network (its content is identity)"""


EnsembleMethod = Literal["mean", "or", "and", "majority"]


class EnsembleSettings(Settings):
    """How several segmenters become one."""

    method: EnsembleMethod = "mean"
    """mean of the probabilities; or, and, majority: of the members' own decisions"""


class CompareSettings(Settings):
    """Champion and challenger on the same validation images."""

    leave_out: list[str] = Field([])
    """validation images that one of the two was trained on"""
    runtime: Runtime = Field("torch", description="what predicts")


FovWidth = Annotated[int, Field(ge=32, le=8192)] | Literal["model", "native"]


class EvaluateSettings(Settings):
    """Scoring on the test split."""

    flips: bool = False
    """predict the mean over an image and its three mirror images, about 0.002 F1 better and four
    times slower; thresholds are chosen on validation in the same way"""
    fov_width: FovWidth = "model"
    """how wide in pixels the field of view of an image is when the network sees it; model: as in
    its training, or the image as it is where that is within a tenth; native: as it is; maps are
    brought back to the image's own pixels"""
    runtime: Runtime = "torch"
    """what predicts; fast: the same to 1e-5, several times faster on a CPU"""
    bootstrap: int = Field(2000, ge=100, description="resamples of images behind 95 % intervals")


class PoolSettings(Settings):
    """The scores of all folds of a cross-validation as one."""

    bootstrap: int = Field(2000, ge=100, description="resamples of images behind 95 % intervals")
