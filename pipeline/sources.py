"""The sources of synthetic images: from settings, real images and a seed, the work that makes so
many images, and whether they bring masks of their own.

A new kind of source is a settings class in `configs.sources`, a class here, and its stage.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import DataSettings, PipelineConfig, PrepareSettings
from vesselforge.configs.sources import (
    JointSource,
    NoSource,
    PhantomDrawSettings,
    PhantomSource,
    SourceSettings,
    StyleGAN2Source,
    UnlabelledSource,
)
from vesselforge.configs.stages.labels import PseudoLabelSettings, unfit
from vesselforge.configs.study import StudyConfig
from vesselforge.data.prepare import content_hash
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.record import found_start, hash_of

S = TypeVar("S", bound=SourceSettings)
Config = PipelineConfig | StudyConfig
SEEDS_APART = 1_000_000
"""Between the first images of two seeds of a study; more than all pools of one together."""


@dataclass(frozen=True)
class Request:
    """What a source makes its images from.

    real: the real images whose labels may be seen; shown: those that something may be trained on
    without labels; rest: the training images that are not in `real`, None when there is none.
    seed: added to the seeds of what is trained. draw: of the images themselves. name: of all this,
    for people. start: an earlier generator, to be fine-tuned for `kimg`.
    """

    real: Work
    shown: Work
    rest: Work | None = None
    seed: int = 0
    draw: int = 0
    name: str = ""
    start: Work | None = None
    kimg: float = 0.0


class Source(ABC, Generic[S]):
    """One source of a run or study. config: that of the whole; filters: which of its images are
    good enough."""

    limited: ClassVar[bool] = False
    """Whether its images are real ones, of which there are only so many; all are then taken."""

    brings_masks: bool = False
    """Whether its images have vessel masks of their own."""

    def __init__(self, settings: S, config: Config, filters: PseudoLabelSettings) -> None:
        self.settings, self.config, self.filters = settings, config, filters

    @abstractmethod
    def images(self, request: Request, count: int, first: int) -> Work:
        """The work that makes the images number `first` to `first + count - 1`."""

    def generator(self, request: Request) -> Work | None:
        """The training behind the images; None where nothing is trained."""
        return None

    def check(self) -> None:
        """Raise ConfigError for what can be known to be wrong before any work."""
        if self.settings.labels != "teacher" and not self.brings_masks:
            raise ConfigError(
                f"source {self.settings.kind}: labels: {self.settings.labels} needs images with "
                "masks of their own, which this source has not; set labels: teacher"
            )


class StyleGAN2(Source[StyleGAN2Source]):
    """Samples of a generator that is trained on the real images; a joint one draws their masks."""

    def __init__(
        self, settings: StyleGAN2Source, config: Config, filters: PseudoLabelSettings
    ) -> None:
        super().__init__(settings, config, filters)
        self.brings_masks = config.generator.channels == "rgb+mask"

    def generator(self, request: Request) -> Work:
        own = self.config.generator
        changes: dict[str, Any] = {"seed": own.seed + request.seed}
        inputs, outside = {"images": request.shown}, {}
        if request.start is not None:
            changes |= {"kimg": request.kimg, "start_from": None}
            inputs |= {"start": request.start}
        elif own.start_from is not None:
            changes["start_from"] = found_start(own.start_from)
            outside = {"start_from": hash_of("generator.start_from", changes["start_from"])}
        settings = own.model_copy(update=changes)
        return Work(f"generator{request.name}", "generator.train", settings, inputs, outside)

    def images(self, request: Request, count: int, first: int) -> Work:
        own = self.config.sample
        seed = own.seed + request.draw * SEEDS_APART + first
        settings = own.model_copy(update={"count": count, "seed": seed})
        inputs = {"generator": self.generator(request)}
        return Work(f"samples{request.name}", "generator.sample", settings, inputs)

    def check(self) -> None:
        own, label = self.config.generator, self.config.sample.label
        if own.freeze_d and own.start_from is None:
            raise ConfigError(
                f"generator.freeze_d: found {own.freeze_d}, which would keep random weights as "
                "they are; set generator.start_from, or freeze_d: 0 (the preset adapt-few, which "
                "sets it, is for adapting a generator)"
            )
        if label is not None and not own.labels:
            raise ConfigError(
                f"sample.label: found {label}, but the generator knows no classes "
                "(generator.labels: false); leave the label out, or set generator.labels: true"
            )
        if self.brings_masks and self.config.data.name == "images":
            raise ConfigError(
                "generator.channels: rgb+mask needs images with vessel masks, and data.name: "
                "images has none; set channels: rgb, or data.name: paired"
            )
        joint = isinstance(self.settings, JointSource)
        if (joint or self.settings.labels != "teacher") and not self.brings_masks:
            raise ConfigError(
                f"source {self.settings.kind}: needs a generator that draws masks; found "
                f"generator.channels: {self.config.generator.channels}, set rgb+mask (the preset "
                "joint-small does), or choose source: stylegan2 with labels: teacher"
            )


class Phantom(Source[PhantomSource]):
    """Procedural images; nothing is trained."""

    brings_masks = True

    def images(self, request: Request, count: int, first: int) -> Work:
        own = self.settings
        seed = own.seed + request.draw * SEEDS_APART + first
        look = own.model_dump(include={"size", "appearance", "randomise"})
        settings = PhantomDrawSettings(count=count, seed=seed, **look)
        inputs = {"images": request.real} if own.appearance == "fitted" else {}
        return Work(f"phantoms{request.name}", "data.phantom", settings, inputs)


NONE_LEFT = (
    "source unlabelled: no training image is left without labels; give its `root`, a folder of "
    "images, or in a study fewer arms.real_images"
)


class Unlabelled(Source[UnlabelledSource]):
    """Real images without labels: a folder's, or the training images beyond those with labels."""

    limited = True

    def images(self, request: Request, count: int, first: int) -> Work:
        root = self.settings.root
        if root is not None:
            data = DataSettings(name="images", root=root, validation_share=0)
            outside = {"dataset": content_hash(data)}
            prepare = PrepareSettings(data=data, part="development")
            return Work("unlabelled images", "data.prepare", prepare, {}, outside)
        if request.rest is None:
            raise ConfigError(NONE_LEFT)
        return request.rest

    def check(self) -> None:
        super().check()
        if self.settings.root is None and isinstance(self.config, PipelineConfig):
            raise ConfigError(NONE_LEFT)


class Nothing(Source[NoSource]):
    """Stands for real images alone; whoever asks it for images learns that there are none."""

    def images(self, request: Request, count: int, first: int) -> Work:
        raise AssertionError("checked before")

    def check(self) -> None:
        raise ConfigError(
            "source none: there are no synthetic images to draw, label or score; choose another "
            "source, or train the teacher alone (`vesselforge segmenter train`); a study has "
            "real-only arms without it"
        )


KINDS: dict[type[SourceSettings], type[Source[Any]]] = {
    StyleGAN2Source: StyleGAN2,
    JointSource: StyleGAN2,
    PhantomSource: Phantom,
    UnlabelledSource: Unlabelled,
    NoSource: Nothing,
}
"""The source of each kind of settings."""


def source_of(
    settings: SourceSettings, config: Config, filters: PseudoLabelSettings | None = None
) -> Source[Any]:
    """The source that the settings describe, checked. filters: default: the config's pseudo_label.
    Raises ConfigError as its `check`, and for filters that its labels give nothing to judge by."""
    found = KINDS[type(settings)](settings, config, filters or config.pseudo_label)
    found.check()
    if fault := unfit(found.filters, settings.labels):
        raise ConfigError(f"source {settings.kind}: {fault}")
    return found
