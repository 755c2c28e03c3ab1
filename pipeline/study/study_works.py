"""What a study, or a fold of it, consists of: which stage, with which settings, from which inputs.
Nothing runs here.

An origin is where an arm's synthetic images come from: one source, for one number of real images
and, as `synthetic.reseed` says, one seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from vesselforge.configs.settings import DataSettings, FitSettings, SubsetSettings
from vesselforge.configs.study import StudyConfig
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.sources import Request, Source, source_of
from vesselforge.pipeline.study.arms import ArmSpec, arms_of, compared
from vesselforge.pipeline.works import Supply, Works, begun_by, contents_of, phases_of

MOST_POOLS = 40
"""Where so many do not hold an arm's images, hardly any image is kept."""


@dataclass(frozen=True)
class Origin:
    """source: its name; real images whose labels are seen; the seed that changes what is trained,
    and that of the samples."""

    source: str
    real_images: int
    seed: int
    draw: int


@dataclass(frozen=True)
class StudyWorks(Works):
    """Every piece of work of a study, or of one fold of it, by what it is for.

    available: training images; least: of the smallest fold. All folds have the arms of that one: an
    arm that has all the real images, or all without labels, has a few more in a larger fold.
    """

    config: StudyConfig
    available: int
    least: int

    @cached_property
    def arms(self) -> list[ArmSpec]:
        return study_arms(self.config, self.least)

    @cached_property
    def compared(self) -> dict[str, list[str]]:
        """Arm id → the arms that it is compared with, its real-only arm first."""
        return compared(self.arms, self.config.arms.controls)

    def origin(self, arm: ArmSpec, seed: int) -> Origin:
        """Where the synthetic images of an arm with this seed come from."""
        assert arm.source is not None
        reseed = self.config.synthetic.reseed
        draw = 0 if reseed == "students" else seed
        return Origin(arm.source, arm.real_images, self.real_seed(seed), draw)

    def real_seed(self, seed: int) -> int:
        """The seed that draws the real images of an arm."""
        return seed if self.config.synthetic.reseed == "all" else 0

    def real_count(self, real_images: int) -> int:
        """How many real images an arm has here, whose number is this in the smallest fold."""
        return real_images if self.config.arms.real_images else self.available

    def synthetic_count(self, arm: ArmSpec) -> int:
        """How many synthetic images an arm has here."""
        limited = arm.source is not None and source_by_name(self.config, arm.source).limited
        return arm.count + (self.available - self.least if limited else 0)

    def name(self, origin: Origin) -> str:
        """Of an origin, for people: `phantom, 16 real images, seed 2, fold 0`."""
        real, seed = self.real_count(origin.real_images), max(origin.seed, origin.draw)
        return f"{origin.source}, {real} real images, seed {seed}{self.mark}"

    def origins(self) -> dict[Origin, int]:
        """Each origin, and the largest count that an arm takes of it."""
        most: dict[Origin, int] = {}
        for arm, seed in product(self.arms, self.config.arms.seeds):
            if arm.order:
                origin = self.origin(arm, seed)
                most[origin] = max(most.get(origin, 0), self.synthetic_count(arm))
        return most

    # Images.

    def external(self) -> dict[str, Work]:
        """Every image of each further dataset, as a test."""
        return {
            data.name: self.prepared(data, "all", f"{data.name}, all images")
            for data in self.config.external
        }

    def real(self, real_images: int, seed: int, rest: bool = False) -> Work:
        """So many real images, and all validation images; rest: the others, without labels."""
        count = self.real_count(real_images)
        if count == self.available and not rest:
            return self.development()
        settings = SubsetSettings(count=count, order="drawn", seed=seed, rest=rest)
        step = f"{count} real images, seed {seed}{self.mark}"
        step = f"all but {step}" if rest else step
        return Work(step, "data.subset", settings, {"images": self.development()})

    # Synthetic images.

    def teacher(self, real_images: int, seed: int) -> Work:
        """The teacher on so many real images."""
        own = self.config.teacher
        settings = own.model_copy(update={"seed": own.seed + seed})
        step = f"teacher, {self.real_count(real_images)} real images, seed {seed}{self.mark}"
        return self.on_real(step, settings, self.real(real_images, seed))

    def supplied(self, origin: Origin) -> Supply:
        """The synthetic images of an origin."""
        few, count = self.real(origin.real_images, origin.seed), self.real_count(origin.real_images)
        every = self.config.synthetic.generator_sees == "all"
        seen = self.available if every else count
        rest = count < self.available
        request = Request(
            real=few,
            shown=self.development() if every else few,
            rest=self.real(origin.real_images, origin.seed, rest=True) if rest else None,
            seed=origin.seed,
            draw=origin.draw,
            name=f" of {origin.source}, {seen} images, seed {origin.seed}{self.mark}",
        )
        source = source_by_name(self.config, origin.source)
        return Supply(source, request, self.teacher(origin.real_images, origin.seed))

    def samples(self, origin: Origin, pool: int) -> Work:
        """The images of one pool, as they are drawn."""
        size = self.config.synthetic.pool
        name = f", pool {pool + 1}, {self.name(origin)}"
        return self.supplied(origin).samples(size, pool * size, name)

    def label(self, origin: Origin, pool: int) -> Work:
        """The labelled and filtered images of one pool."""
        supply, samples = self.supplied(origin), self.samples(origin, pool)
        name = f"pool {pool + 1}, {self.name(origin)}"
        scores = supply.scores(f"sample scores, {name}", samples)  # done where a filter needs them
        return supply.labelled(f"labels, {name}", samples, scores)

    def selected(self, origin: Origin, count: int, pools: int) -> Work:
        """The first `count` kept images of so many pools."""
        labelled = [self.label(origin, pool) for pool in range(pools)]
        step = f"{count} synthetic images, {self.name(origin)}"
        return self.supplied(origin).selection(step, count, labelled)

    def realism(self, origin: Origin, selection: Work) -> Work:
        """How close to the real images a selection is, and how near to single ones."""
        return self.supplied(origin).scores(f"scores of {selection.step}", selection)

    def pools_for(self, origin: Origin, count: int) -> int:
        """Pools that hold so many images if none is rejected."""
        return min(math.ceil(count / self.config.synthetic.pool), self.most_pools(origin))

    def most_pools(self, origin: Origin) -> int:
        """Pools that there may be."""
        return 1 if self.limited(origin) else MOST_POOLS

    def limited(self, origin: Origin) -> bool:
        """Whether its images are real ones: there are only so many, all in one pool, and nobody
        asks how like real images they are."""
        return source_by_name(self.config, origin.source).limited

    # Students.

    def scored(
        self, arm: ArmSpec, seed: int, selection: Work | None
    ) -> tuple[Work, dict[str, Work]]:
        """The last training of an arm's student, which needs those before, and by the name of a
        test set its scores there. selection: None for count 0."""
        config, real = self.config, self.real(arm.real_images, self.real_seed(seed))
        count = self.real_count(arm.real_images)
        name = f"{arm.label}, {count} real, seed {seed}{self.mark}"
        phases = [
            (self._of_arm(settings, arm, seed), shows)
            for settings, shows in phases_of(config, arm.phases)
        ]
        steps = [f"{name}, phase {n}" for n in (1, 2)] if len(phases) > 1 else [name]
        student = self.student(phases, steps, real, selection)[-1]
        sets = {config.data.name: self.test(), **self.external()}
        return student, {
            place: self.evaluation(f"{place} scores, {name}", {"model": student}, images, real)
            for place, images in sets.items()
        }

    def _of_arm(self, settings: FitSettings, arm: ArmSpec, seed: int) -> FitSettings:
        """A training as an arm has it: seed, steps, augmentation of real and synthetic images."""
        update: dict[str, Any] = {"seed": settings.seed + seed}
        update["steps"] = max(1, round(settings.steps * arm.longer))
        update["synthetic_augment"] = settings.synthetic_augment or settings.augment
        if arm.strength == "strong":
            update["augment"] = self.config.strong_augment.plain
        return settings.model_copy(update=update)

    def images(self) -> list[Work]:
        """All that is made of the datasets' files."""
        return [self.development(), self.test(), *self.external().values()]

    def before_students(self) -> list[Work]:
        """Those that need no student."""
        targets = self.images()
        for origin, most in self.origins().items():
            if not self.limited(origin):
                largest = self.selected(origin, most, self.pools_for(origin, most))
                targets.append(self.realism(origin, largest))
        return targets

    def all_scored(self) -> list[dict[str, Work]]:
        """The scores of every arm with every seed, by the name of the test set."""
        found = []
        for arm, seed in product(self.arms, self.config.arms.seeds):
            selection = None
            if arm.order is not None:
                origin, count = self.origin(arm, seed), self.synthetic_count(arm)
                selection = self.selected(origin, count, self.pools_for(origin, count))
            found.append(self.scored(arm, seed, selection)[1])
        return found


def study_arms(config: StudyConfig, available: int) -> list[ArmSpec]:
    """The arms of a study. available: training images, of the smallest fold. Raises ConfigError as
    `arms_of`, and for sources that cannot be."""
    limited = {name for name in config.sources if source_by_name(config, name).limited}
    within = "the smallest fold" if config.data.is_cross_validated else "the dataset"
    return arms_of(config.arms, available, list(config.sources), limited, within)


def source_by_name(config: StudyConfig, name: str) -> Source[Any]:
    """A source of the study, with its filters. Raises ConfigError as `source_of`."""
    return source_of(config.sources[name], config, config.filters.get(name))


def training_images(data: DataSettings) -> int:
    """How many training images a dataset has. Raises DataError when it is not there."""
    from vesselforge.data.datasets import load_settings

    return sum(item.split == TRAIN for item in load_settings(data))


def study_folds(config: StudyConfig, workspace: Path | None = None) -> list[StudyWorks]:
    """The work of each fold, as if it were compared alone; one where the study is no
    cross-validation. Raises DataError, ConfigError."""
    begun, further = begun_by(config, workspace), contents_of(*config.external)
    folds = [config.model_copy(update={"data": data}) for data in config.data.each_fold()]
    counts = [training_images(fold.data) for fold in folds]
    return [
        StudyWorks(fold, contents_of(fold.data) | further, begun, count, min(counts))
        for fold, count in zip(folds, counts, strict=True)
    ]
