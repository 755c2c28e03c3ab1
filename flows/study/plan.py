"""What a study consists of: which stage, with which settings, from which inputs. Nothing runs here.

A source is where synthetic images come from: one teacher and one generator, for one number of real
images and, as `synthetic.reseed` says, one seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from configs.segmenter import EnsembleMethod
from configs.settings import (
    AugmentSettings,
    DataSettings,
    EnsembleSettings,
    FitSettings,
    PrepareSettings,
    SubsetSettings,
)
from configs.study import StudyConfig
from data.prepare import content_hash
from data.splits import TRAIN
from flows.steps import files_of_generator, files_of_score
from flows.study.arms import ArmSpec, arms_of
from flows.study.work import Work

SEEDS_APART = 1_000_000
"""Between the first samples of two study seeds; more than all pools of one together."""


@dataclass(frozen=True)
class Source:
    """Real images that teacher and generator see, the seed that changes them, and the samples'."""

    real_images: int
    seed: int
    draw: int

    @property
    def name(self) -> str:
        """For people: `16 real images, seed 2`."""
        return f"{self.real_images} real images, seed {max(self.seed, self.draw)}"


@dataclass(frozen=True)
class Plan:
    """Every piece of work of a study by what it is for.

    available: training images of the dataset; content: content hash of each dataset by name.
    """

    config: StudyConfig
    available: int
    content: Mapping[str, str]

    @cached_property
    def arms(self) -> list[ArmSpec]:
        return arms_of(self.config.arms, self.available)

    @property
    def seeds(self) -> list[int]:
        return self.config.arms.seeds

    def source(self, real_images: int, seed: int) -> Source:
        """Where the synthetic images of an arm with this seed come from."""
        reseed = self.config.synthetic.reseed
        return Source(
            real_images,
            seed if reseed == "all" else 0,
            0 if reseed == "students" else seed,
        )

    def sources(self) -> dict[Source, int]:
        """Each source, and the largest count that an arm takes of it."""
        most: dict[Source, int] = {}
        for arm in self.arms:
            for seed in self.seeds if arm.order else []:
                source = self.source(arm.real_images, seed)
                most[source] = max(most.get(source, 0), arm.count)
        return most

    # Images.

    def development(self) -> Work:
        return self._prepared(self.config.data, "development")

    def test(self) -> Work:
        return self._prepared(self.config.data, "test")

    def external(self) -> dict[str, Work]:
        """Every image of each further dataset, as a test."""
        return {data.name: self._prepared(data, "all") for data in self.config.external}

    def _prepared(self, data: DataSettings, part: Literal["development", "test", "all"]) -> Work:
        settings = PrepareSettings(data=data, part=part)
        step = f"{data.name}, {part} images"
        return Work(step, "data.prepare", settings, {}, {"dataset": self.content[data.name]})

    def real(self, real_images: int, seed: int) -> Work:
        """The real images that one source may see, and all validation images."""
        if real_images == self.available:
            return self.development()
        settings = SubsetSettings(count=real_images, order="drawn", seed=seed)
        step = f"{real_images} real images, seed {seed}"
        return Work(step, "data.subset", settings, {"images": self.development()})

    # Synthetic images.

    def teacher(self, source: Source, number: int = 0) -> Work:
        """The `number`-th teacher."""
        own = self.config.teacher
        settings = own.model_copy(update={"seed": own.seed + source.seed + 4000 * number})
        step = f"teacher{f' {number + 1}' if number else ''}, {source.name}"
        return Work(step, "segmenter.train", settings, {"images": self._seen(source)})

    def generator(self, source: Source) -> Work:
        own = self.config.generator
        settings = own.model_copy(update={"seed": own.seed + source.seed})
        step = f"generator, {self._shown(source)}"
        inputs = {"images": self._shown_to_generator(source)}
        return Work(step, "generator.train", settings, inputs, files_of_generator(own))

    def _seen(self, source: Source) -> Work:
        return self.real(source.real_images, source.seed)

    def _shown_to_generator(self, source: Source) -> Work:
        every = self.config.synthetic.generator_sees == "all"
        return self.development() if every else self._seen(source)

    def _shown(self, source: Source) -> str:
        every = self.config.synthetic.generator_sees == "all"
        return f"{self.available if every else source.real_images} images, seed {source.seed}"

    def label(self, source: Source, pool: int) -> Work:
        """The labelled and filtered images of one pool."""
        settings, name = self.config.pseudo_label, f"pool {pool + 1}, {source.name}"
        samples = self._samples(source, pool)
        inputs = {"samples": samples, "teacher": self.teacher(source)}
        for number in range(1, self.config.synthetic.teachers):
            inputs[f"teacher-{number + 1}"] = self.teacher(source, number)
        if settings.needs_real_masks:
            inputs["images"] = self._seen(source)
        if (scores := self.pool_scores(source, pool)) is not None:
            inputs["scores"] = scores
        return Work(f"labels, {name}", "segmenter.pseudo-label", settings, inputs)

    def _samples(self, source: Source, pool: int) -> Work:
        own, size = self.config.sample, self.config.synthetic.pool
        first = own.seed + source.draw * SEEDS_APART + pool * size
        settings = own.model_copy(update={"count": size, "seed": first})
        step = f"samples, pool {pool + 1}, {source.name}"
        return Work(step, "generator.sample", settings, {"generator": self.generator(source)})

    def pool_scores(self, source: Source, pool: int) -> Work | None:
        """Scores of all samples of a pool, where a filter needs them."""
        if not self.config.pseudo_label.needs_scores:
            return None
        critic, samples = self.config.pseudo_label.worst_critic > 0, self._samples(source, pool)
        step = f"sample scores, pool {pool + 1}, {source.name}"
        return self._score(step, source, samples, {"critic": critic})

    def selection(self, source: Source, count: int, pools: int) -> Work:
        """The first `count` kept images of so many pools."""
        inputs = {f"pool-{pool:04d}": self.label(source, pool) for pool in range(pools)}
        step = f"{count} synthetic images, {source.name}"
        return Work(step, "data.subset", SubsetSettings(count=count), inputs)

    def realism(self, source: Source, selection: Work) -> Work:
        """How close to the real images a selection is, and how near to single ones."""
        return self._score(f"scores of {selection.step}", source, selection, {})

    def _score(self, step: str, source: Source, samples: Work, change: dict[str, object]) -> Work:
        """The generator says how its samples were made: labelled ones no longer do themselves."""
        settings = self.config.score.model_copy(update=change)
        inputs = {"samples": samples, "images": self._shown_to_generator(source)}
        inputs["generator"] = self.generator(source)
        if settings.needs_teacher:
            inputs["teacher"] = self.teacher(source)
        return Work(step, "generator.score", settings, inputs, files_of_score(settings))

    def pools_for(self, count: int) -> int:
        """Pools that hold so many images if none is rejected."""
        return math.ceil(count / self.config.synthetic.pool)

    # Students.

    def student(self, arm: ArmSpec, seed: int, selection: Work | None) -> Work:
        """The second phase of an arm, which needs the first. selection: None for count 0."""
        own = self.source(arm.real_images, seed)
        real = self.real(arm.real_images, own.seed)
        before: Work | None = None
        for number, (settings, shows) in enumerate(
            zip((self.config.first, self.config.second), arm.phases, strict=True), 1
        ):
            inputs = self._shows(shows, real, selection)
            if before is not None:
                inputs["start"] = before
            before = Work(
                f"{arm.label}, {arm.real_images} real, seed {seed}, phase {number}",
                "segmenter.train",
                phase_settings(settings, arm, shows, seed),
                inputs,
            )
        assert before is not None
        return before

    def _shows(self, shows: str, real: Work, selection: Work | None) -> dict[str, Work]:
        if shows == "real":
            return {"images": real}
        assert selection is not None
        if shows == "synthetic":
            return {"images": selection, "validation": real}
        return {"images": real, "synthetic": selection}

    def ensemble(
        self, arm: ArmSpec, method: EnsembleMethod, students: Mapping[int, Work], real: Work
    ) -> Work:
        """The students of all seeds of an arm as one."""
        inputs = {f"seed-{seed}": student for seed, student in students.items()}
        inputs["validation"] = real
        step = f"{method} of {len(students)} seeds, {arm.label}, {arm.real_images} real"
        return Work(step, "segmenter.ensemble", EnsembleSettings(method=method), inputs)

    def evaluations(self, model: Work, validation: Work, name: str) -> dict[str, Work]:
        """Name of a test set → scores of the model on it."""
        settings = self.config.evaluate
        abroad = settings.model_copy(
            update={"fov_width": self.config.external_fov_width or settings.fov_width}
        )
        found = {}
        for place, images in ({self.config.data.name: self.test()} | self.external()).items():
            own = settings if place == self.config.data.name else abroad
            inputs = {"test": images, "validation": validation, "model": model}
            step = f"{place} scores, {name}"
            found[place] = Work(step, "segmenter.evaluate", own, inputs)
        return found


def phase_settings(settings: FitSettings, arm: ArmSpec, shows: str, seed: int) -> FitSettings:
    """The settings of one phase: the seed, and augmentation on or off for what it shows.

    Phases that show the same images in the same way are equal, whatever arm they belong to.
    """
    real = settings.augment if arm.augments_real else AugmentSettings.off()
    synthetic = settings.synthetic_augment or settings.augment
    synthetic = synthetic if arm.augments_synthetic else AugmentSettings.off()
    change: dict[str, object] = {"seed": settings.seed + seed, "synthetic_augment": None}
    change["augment"] = synthetic if shows == "synthetic" else real
    if shows == "mixed":
        change["synthetic_augment"] = synthetic
    return settings.model_copy(update=change)


def training_images(data: DataSettings) -> int:
    """How many training images a dataset has. Raises DataError when it is not there."""
    if data.name == "phantom":
        return data.phantom.train
    from data.datasets import load_settings

    return sum(item.split == TRAIN for item in load_settings(data))


def plan_of(config: StudyConfig) -> Plan:
    """Everything that the study will do, addressed. Raises DataError, ConfigError."""
    hashes = {str(data.name): content_hash(data) for data in (config.data, *config.external)}
    return Plan(config, training_images(config.data), hashes)
