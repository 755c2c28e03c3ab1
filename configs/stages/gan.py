"""The settings of the generator room: training, sampling, scoring."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from vesselforge.configs.base import Device, Filled, Settings, operational
from vesselforge.configs.stages.presets import Preset, preset_values, presettable

Precision = Literal["float32", "bfloat16"]


class GeneratorSettings(Filled):
    """StyleGAN2-ADA training. A preset fills in whatever is not set beside it."""

    preset: Preset | None = operational(None)
    """recipe: auto, stylegan2, paper256/512/1024 (as published), small-set (a few dozen images),
    joint-small (image and mask from scratch), adapt-few (from a trained one to a few images); what
    you set beside it wins"""

    # What the networks see
    presentation: Literal["full", "patch"] = "patch"
    """full: whole images resized to a square; patch: random crops at native resolution inside the
    field of view"""
    channels: Literal["rgb", "grey", "rgb+mask"] = "rgb"
    """what of an image is generated; rgb+mask: with the distance to the vessels, so that every
    sample brings its mask"""
    labels: bool = Field(False, description="conditional on the labels of the image set")
    resolution: int = Field(64, ge=16, le=1024, description="side in pixels, a power of two")

    # Networks
    channel_base: int = Field(4096, ge=64, le=65536, description="channels × resolution")
    channel_max: int = Field(128, ge=8, le=1024, description="most channels in a layer")
    latent: int = Field(128, ge=8, le=1024, description="size of z and w")
    mapping_layers: int = Field(2, ge=1, le=8, description="layers of the mapping network")
    conv_clamp: float | None = Field(None, ge=0)
    """bound of activations; official networks have 256; 0: none"""

    # Optimisation
    batch: int = Field(8, ge=1, le=512, description="images per step, over all processes")
    processes: int = operational(1, ge=1, le=64)
    """training processes, one a GPU, started by torchrun"""
    kimg: float = Field(10.0, gt=0, description="training length in thousand real images shown")
    lr: float = Field(0.0025, gt=0, le=1, description="learning rate of the generator")
    lr_end: float = Field(1.0, gt=0, le=1)
    """share of both learning rates that is left at the last step, to which they fall along half a
    cosine; 1: constant"""
    d_lr_ratio: float = Field(1.0, gt=0, le=100)
    """learning rate of the discriminator ÷ that of the generator (two time-scale rule); above 1
    when the discriminator stays near chance"""
    r1_gamma: float | None = Field(None, gt=0, description="R1 weight; default 0.0002·res²/batch")
    r1_every: int = Field(16, ge=1, description="steps between R1 penalties (lazy)")
    path_length_weight: float = Field(2.0, ge=0, description="path-length weight; 0: off")
    style_mixing: float = Field(0.9, ge=0, le=1, description="probability of mixing two styles")
    ema_kimg: float | None = Field(None, gt=0, description="half-life; default batch·10/32")
    ema_rampup: float | None = Field(0.05, ge=0)
    """half-life ≤ this × images so far; 0: no such bound"""
    mbstd_group: int = Field(4, ge=1, description="minibatch-std group size; divides batch")
    d_noise: float = Field(0.0, ge=0, le=1)
    """standard deviation of Gaussian noise, anew in every step, on the colours that the
    discriminator sees, real or generated; images are in [-1, 1]"""
    d_noise_mask: float = Field(0.0, ge=0, le=1)
    """rgb+mask: the same on the channel of the mask"""
    d_noise_end: float = Field(1.0, ge=0, le=1)
    """share of both noises that is left at the last step; they fall in a straight line: at first
    only what is large counts, then finer things"""
    precision: Precision = "float32"
    """bfloat16: convolutions of the two main losses in bfloat16; penalties, weights and averages
    stay in float32"""

    # Adaptive augmentation
    augment: Literal["ada", "fixed", "none"] = "ada"
    """discriminator augmentation"""
    augment_pipe: Literal["blit", "geom", "color", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc"] = "bgc"
    """which transforms"""
    mirror: bool = Field(True, description="false: images must not be mirrored")
    augment_p: float = Field(0.0, ge=0, le=0.8)
    """initial (ada) or constant (fixed) p; above 0.8 it leaks"""
    ada_target: float = Field(0.6, gt=0, lt=1, description="target of mean sign(D(real))")
    ada_kimg: float = Field(100.0, gt=0, description="kimg in which p can move by 1")

    # Start
    start_from: Path | None = operational(None)
    """trained networks to start from: an official .pkl, the folder of a generator, or the name of
    one that comes with VesselForge (its content, not its path or name, is identity)"""
    adapt: bool = False
    """allow start_from to differ in resolution, channels or labels: tensors that do not fit start
    anew, those of the image are mapped, and a table says which"""
    freeze_d: int = Field(0, ge=0, le=64)
    """Freeze-D: layers of the discriminator, from the image side"""

    # Watching
    snapshot_kimg: float = Field(2.0, gt=0, description="kimg between snapshots: grid and KID")
    snapshot_images: int = Field(256, ge=0, le=50000)
    """samples and real views behind a snapshot's KID; below 4: no scores"""
    deliver: Literal["best", "last"] = "best"
    """which snapshot the finished artifact holds, best: by KID"""
    seed: int = Field(0, ge=0, description="same seed, device and thread count: same network")
    device: Device = operational("auto", description="auto: CUDA when there is one")
    checkpoint_every: int = operational(50, ge=1)
    """steps between checkpoints; more where they would take over 2 % of the time"""

    @classmethod
    def filling(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the preset says; a wrong preset says nothing, and the fields' own checks name it."""
        try:
            return preset_values(given) if "preset" in given else {}
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            return {}

    @classmethod
    def fillable(cls) -> Collection[str]:
        return presettable()

    @classmethod
    def otherwise(cls, name: str) -> str:
        usual = cls.model_fields[name].default
        return "as the preset has it" + ("" if usual is None else f", else {usual}")

    @model_validator(mode="after")
    def _shapes_are_possible(self) -> Self:
        if self.resolution & (self.resolution - 1):
            raise ValueError(f"resolution must be a power of two, not {self.resolution}")
        if trouble := misfit(self.batch, self.processes, self.mbstd_group):
            raise ValueError(trouble)
        if self.d_noise_mask > 0 and self.channels != "rgb+mask":
            raise ValueError(
                f"d_noise_mask: {self.d_noise_mask} needs channels: rgb+mask, found {self.channels}"
            )
        return self


class SampleSettings(Settings):
    """Synthetic images from the trained generator."""

    count: int = Field(64, ge=1, le=1_000_000, description="number of images")
    psi: float = Field(0.7, ge=0, le=2, description="truncation: 0 the mean image, 1 none")
    label: int | None = None
    """class number of a conditional generator; default: drawn from the labels of its training
    images"""
    seed: int = Field(1000, ge=0, lt=2**32, description="image i is made from seed + i")
    batch: int = operational(4, ge=1, le=256, description="images per forward pass")

    @model_validator(mode="after")
    def _seeds_are_possible(self) -> Self:
        if self.seed + self.count > 2**32:
            raise ValueError("seed + count must not be above 2^32: seeds have 32 bits")
        return self


class ScoreSettings(Settings):
    """How good the samples are, against the real training images."""

    features: Literal["teacher", "random", "inception"] = "teacher"
    """feature extractor: the teacher's encoder, an untrained VGG (neither needs a download), or the
    official Inception, downloaded once"""
    real_views: int = Field(256, ge=2, description="patch presentation: real crops to compare with")
    kid_subset_size: int = Field(32, ge=2, description="images per resampling, at most the counts")

    @property
    def needs_teacher(self) -> bool:
        """Whether the teacher's encoder is the extractor."""
        return self.features == "teacher"


def misfit(batch: int, processes: int, group: int) -> str | None:
    """Return what does not fit and values that do, or None when all fits.

    A minibatch-std group (at most the batch) is never torn apart: it lies in one process.
    """
    group = min(group, batch)
    if batch % group:
        return (
            f"mbstd_group {group} must divide batch {batch}: "
            f"set batch to {-(-batch // group) * group}, or mbstd_group to 1"
        )
    if processes > batch // group:
        return (
            f"batch {batch} has {batch // group} minibatch-std groups of mbstd_group {group}, too "
            f"few for processes {processes}: set batch to {processes * group}, or processes to "
            f"{batch // group}"
        )
    return None
