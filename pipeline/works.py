"""The pieces of work that runs and studies are made of, each built in one place.

Whoever asks for the same work gets the same address, in a run, a study, a retraining or a single
step. Nothing runs here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from vesselforge.configs.settings import (
    AugmentSettings,
    DataSettings,
    FitSettings,
    LabelSettings,
    PrepareSettings,
    SubsetSettings,
)
from vesselforge.configs.stages.segmenter import SegmenterSettings
from vesselforge.configs.study import Order
from vesselforge.data.prepare import content_hash
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.sources import Config, Request, Source
from vesselforge.pipeline.starts import start_work, starts

Shows = Literal["real", "synthetic", "mixed"]


@dataclass(frozen=True)
class Works:
    """Builds the work of one config. content: content hash of each dataset by name; begun: setting
    → the model that the training of that recipe begins with."""

    config: Config
    content: Mapping[str, str]
    begun: Mapping[str, Work]

    @property
    def mark(self) -> str:
        """What sets the steps of one fold apart, for people: `, fold 0`."""
        fold = self.config.data.fold
        return "" if fold is None else f", fold {fold}"

    def development(self) -> Work:
        """Training and validation images."""
        return self.prepared(self.config.data, "development")

    def test(self) -> Work:
        """Test images: an input of evaluations alone."""
        return self.prepared(self.config.data, "test")

    def prepared(
        self, data: DataSettings, part: Literal["development", "test", "all"], step: str = ""
    ) -> Work:
        settings = PrepareSettings(data=data, part=part)
        outside = {"dataset": self.content[data.name]}
        step = step or f"{part} images{self.mark}"
        return Work(step, "data.prepare", settings, {}, outside)

    def on_real(self, step: str, recipe: SegmenterSettings, images: Work) -> Work:
        """The training of a teacher: real images alone."""
        inputs = {"images": images} | self._start("teacher")
        return Work(step, "segmenter.train", fit_settings(recipe), inputs)

    def _start(self, *names: str) -> dict[str, Work]:
        """The model that a training begins with, under the first of the names that has one."""
        found = (self.begun.get(f"{name}.start_from") for name in names)
        return next(({"start": work} for work in found if work is not None), {})

    def student(
        self,
        phases: Sequence[tuple[FitSettings, Shows]],
        steps: Sequence[str],
        real: Work,
        labelled: Work | None,
    ) -> list[Work]:
        """The trainings of a student, first to last. steps: their names; labelled: synthetic
        images, None for none. A second one that begins with a model of its own is the only one."""
        found: list[Work] = []
        start = self._start("pretrain", "student")
        if own := self._start("finetune"):
            phases, steps, start = phases[1:], steps[1:], own
        for (settings, shows), step in zip(phases, steps, strict=True):
            inputs = shown(shows, real, labelled) | start
            found.append(Work(step, "segmenter.train", settled(settings, shows), inputs))
            start = {"start": found[-1]}
        return found

    def evaluation(
        self,
        step: str,
        models: Mapping[str, Work],
        test: Work,
        validation: Work,
    ) -> Work:
        """Scores of models on test images, which nothing else ever reads."""
        inputs = {"test": test, "validation": validation, **models}
        return Work(step, "segmenter.evaluate", self.config.evaluate, inputs)


@dataclass(frozen=True)
class Supply:
    """The synthetic images of one source for one request. teacher: what labels or judges."""

    source: Source[Any]
    request: Request
    teacher: Work

    def generator(self) -> Work | None:
        """The training behind the images; None where nothing is trained."""
        return self.source.generator(self.request)

    def samples(self, count: int, first: int, name: str) -> Work:
        """Images number `first` to `first + count - 1`, as they are drawn."""
        found = self.source.images(self.request, count, first)
        return replace(found, step=f"{found.step.partition(',')[0]}{name}")

    def scores(self, step: str, samples: Work) -> Work:
        """How close images are to the real ones, and how near to single ones. The teacher is an
        input where the scores depend on it: other extractors ignore it."""
        settings = self.source.config.score
        inputs = {"samples": samples, "images": self.request.shown}
        if settings.needs_teacher:
            inputs["teacher"] = self.teacher
        generator = self.generator()
        # Labelled samples no longer say how they were made; their generator does.
        if generator is not None and samples.kind != "generator.sample":
            inputs["generator"] = generator
        return Work(step, "generator.score", settings, inputs)

    def labelled(self, step: str, samples: Work, scores: Work | None) -> Work:
        """The images with labels, sorted into good enough and not. Teacher and the samples' scores
        count only where a label or a filter depends on them. The real images always do: vessel maps
        that look like none of theirs are noise, and that is to be said."""
        own = self.source.settings
        settings = LabelSettings(
            **self.source.filters.model_dump(), labels=own.labels, turned_masks=own.turned_masks
        )
        inputs = {"samples": samples, "images": self.request.real}
        if own.labels != "own":
            inputs["teacher"] = self.teacher
        if settings.reject_copies:
            assert scores is not None
            inputs["scores"] = scores
        return Work(step, "segmenter.pseudo-label", settings, inputs)

    def selection(self, step: str, count: int, pools: list[Work]) -> Work:
        """The first `count` kept images of labelled pools."""
        inputs = {f"pool-{number:04d}": pool for number, pool in enumerate(pools)}
        return Work(step, "data.subset", SubsetSettings(count=count), inputs)


def shown(shows: Shows, real: Work, labelled: Work | None) -> dict[str, Work]:
    """The inputs of a training that shows this. Validation images are always real."""
    if shows == "real":
        return {"images": real}
    assert labelled is not None
    if shows == "synthetic":
        return {"images": labelled, "validation": real}
    return {"images": real, "synthetic": labelled}


PHASES: dict[Order, tuple[Shows, ...]] = {
    "synthetic-first": ("synthetic", "real"),
    "real-first": ("real", "synthetic"),
    "mixed": ("mixed",),
}
"""What each training of a student shows, by the order; mixed is one, with one cosine."""


def phases_of(config: Config, shows: tuple[Shows, ...]) -> list[tuple[FitSettings, Shows]]:
    """The settings of each training of a student; a single one has the first's, the steps of both,
    and the threshold chosen as the last would have."""
    first, second = config.phases
    if len(shows) == 1:
        whole = {"steps": first.steps + second.steps, "threshold_on": second.threshold_on}
        first = first.model_copy(update=whole)
    mix = config.synthetic
    augment = AugmentSettings() if mix.augment == "standard" else None
    entering = {"synthetic_share": mix.share, "synthetic_augment": augment}
    return [(fit_settings(r, **entering), s) for r, s in zip((first, second), shows, strict=False)]


def fit_settings(recipe: SegmenterSettings, **entering: Any) -> FitSettings:
    """A recipe as the stage's settings, the model that it begins with being an input. entering: how
    synthetic images do."""
    return FitSettings.model_validate(recipe.model_dump(exclude={"start_from"}) | entering)


def settled(settings: FitSettings, shows: Shows) -> FitSettings:
    """The same training in the same words: how synthetic images enter is said only where both kinds
    are shown, and their augmentation there only where it differs from that of all."""
    synthetic = settings.synthetic_augment or settings.augment
    if shows == "mixed":
        apart = synthetic if synthetic != settings.augment else None
        return settings.model_copy(update={"synthetic_augment": apart})
    recipe = settings.model_dump(include=set(SegmenterSettings.model_fields))
    augment = synthetic if shows == "synthetic" else settings.augment
    return FitSettings.model_validate(recipe | {"augment": augment})


def begun_by(config: Config, workspace: Path | None = None) -> dict[str, Work]:
    """Setting → the work that copies the model which it names. Raises UserError as `start_work`."""
    return {each[0]: start_work(*each, workspace) for each in starts(config)}


def contents_of(*datasets: DataSettings) -> dict[str, str]:
    """Content hash of each dataset by name. Raises DataError for one that is not there."""
    return {str(data.name): content_hash(data) for data in datasets}
