"""What a study consists of: which stage, with which settings, from which inputs. Nothing runs here.

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

    @property
    def name(self) -> str:
        """For people: `phantom, 16 real images, seed 2`."""
        return f"{self.source}, {self.real_images} real images, seed {max(self.seed, self.draw)}"


@dataclass(frozen=True)
class StudyWorks(Works):
    """Every piece of work of a study by what it is for.

    available: training images of the dataset.
    """

    config: StudyConfig
    available: int

    @cached_property
    def arms(self) -> list[ArmSpec]:
        return study_arms(self.config, self.available)

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

    def origins(self) -> dict[Origin, int]:
        """Each origin, and the largest count that an arm takes of it."""
        most: dict[Origin, int] = {}
        for arm, seed in product(self.arms, self.config.arms.seeds):
            if arm.order:
                origin = self.origin(arm, seed)
                most[origin] = max(most.get(origin, 0), arm.count)
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
        if real_images == self.available and not rest:
            return self.development()
        settings = SubsetSettings(count=real_images, order="drawn", seed=seed, rest=rest)
        step = f"{real_images} real images, seed {seed}"
        step = f"all but {step}" if rest else step
        return Work(step, "data.subset", settings, {"images": self.development()})

    # Synthetic images.

    def teacher(self, real_images: int, seed: int) -> Work:
        """The teacher on so many real images."""
        own = self.config.teacher
        settings = own.model_copy(update={"seed": own.seed + seed})
        step = f"teacher, {real_images} real images, seed {seed}"
        return self.on_real(step, settings, self.real(real_images, seed))

    def supplied(self, origin: Origin) -> Supply:
        """The synthetic images of an origin."""
        few = self.real(origin.real_images, origin.seed)
        every = self.config.synthetic.generator_sees == "all"
        seen = self.available if every else origin.real_images
        rest = origin.real_images < self.available
        request = Request(
            real=few,
            shown=self.development() if every else few,
            rest=self.real(origin.real_images, origin.seed, rest=True) if rest else None,
            seed=origin.seed,
            draw=origin.draw,
            name=f" of {origin.source}, {seen} images, seed {origin.seed}",
        )
        source = source_by_name(self.config, origin.source)
        return Supply(source, request, self.teacher(origin.real_images, origin.seed))

    def samples(self, origin: Origin, pool: int) -> Work:
        """The images of one pool, as they are drawn."""
        size = self.config.synthetic.pool
        name = f", pool {pool + 1}, {origin.name}"
        return self.supplied(origin).samples(size, pool * size, name)

    def label(self, origin: Origin, pool: int) -> Work:
        """The labelled and filtered images of one pool."""
        supply, samples = self.supplied(origin), self.samples(origin, pool)
        name = f"pool {pool + 1}, {origin.name}"
        scores = supply.scores(f"sample scores, {name}", samples)  # done where a filter needs them
        return supply.labelled(f"labels, {name}", samples, scores)

    def selected(self, origin: Origin, count: int, pools: int) -> Work:
        """The first `count` kept images of so many pools."""
        labelled = [self.label(origin, pool) for pool in range(pools)]
        step = f"{count} synthetic images, {origin.name}"
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
        name = f"{arm.label}, {arm.real_images} real, seed {seed}"
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

    def everything(self) -> list[Work]:
        """The targets of a study whose samples are all kept."""
        targets = [self.development(), self.test(), *self.external().values()]
        for origin, most in self.origins().items():
            if not self.limited(origin):
                largest = self.selected(origin, most, self.pools_for(origin, most))
                targets.append(self.realism(origin, largest))
        for arm, seed in product(self.arms, self.config.arms.seeds):
            selection = None
            if arm.order is not None:
                origin = self.origin(arm, seed)
                selection = self.selected(origin, arm.count, self.pools_for(origin, arm.count))
            targets += self.scored(arm, seed, selection)[1].values()
        return targets


def study_arms(config: StudyConfig, available: int) -> list[ArmSpec]:
    """The arms of a study. Raises ConfigError as `arms_of`, and for sources that cannot be."""
    limited = {name for name in config.sources if source_by_name(config, name).limited}
    return arms_of(config.arms, available, list(config.sources), limited)


def source_by_name(config: StudyConfig, name: str) -> Source[Any]:
    """A source of the study, with its filters. Raises ConfigError as `source_of`."""
    return source_of(config.sources[name], config, config.filters.get(name))


def training_images(data: DataSettings) -> int:
    """How many training images a dataset has. Raises DataError when it is not there."""
    if data.name == "phantom":
        return data.phantom.train
    from vesselforge.data.datasets import load_settings

    return sum(item.split == TRAIN for item in load_settings(data))


def study_works(config: StudyConfig, workspace: Path | None = None) -> StudyWorks:
    """Everything that the study will do, addressed. Raises DataError, ConfigError."""
    contents = contents_of(config.data, *config.external)
    begun = begun_by(config, workspace)
    return StudyWorks(config, contents, begun, training_images(config.data))
