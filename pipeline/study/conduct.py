"""A study from its datasets to its results: what is run, in which order, and what is noted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

from vesselforge.configs.stages.segmenter import EnsembleMethod
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.sinks.display import current
from vesselforge.pipeline.executor import Executor
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.record import RunRecord, reference
from vesselforge.pipeline.study.arms import ArmSpec
from vesselforge.pipeline.study.study_works import Origin, StudyWorks


@dataclass
class TrainedArm:
    """One arm with one seed. evaluations: by name of the test set; why: of its failure; short:
    whether because too few synthetic images were kept."""

    spec: ArmSpec
    seed: int
    student: Work | None = None
    selection: Work | None = None
    evaluations: dict[str, Work] = field(default_factory=dict)
    why: str = ""
    short: bool = False


class Shortage(NamedTuple):
    """Why there is no selection; short: too few images were kept, else a stage failed."""

    why: str
    short: bool


@dataclass
class Study:
    """Runs a plan. trained: every arm with every seed, in the order of the plan."""

    plan: StudyWorks
    executor: Executor
    record: RunRecord
    trained: list[TrainedArm] = field(default_factory=list)
    selections: dict[tuple[Origin, int], Work] = field(default_factory=dict)
    shortage: dict[tuple[Origin, int], Shortage] = field(default_factory=dict)
    used: dict[Origin, list[Work]] = field(default_factory=dict)
    """The labelled pools of each origin, as many as its arms needed."""

    def run(self) -> None:
        """Do everything; afterwards `trained` says what came of each arm."""
        plan = self.plan
        self.trained = [TrainedArm(arm, seed) for arm in plan.arms for seed in plan.seeds]
        for trained in self.trained:
            if trained.spec.order is None:
                self._plan_student(trained)
        real_only = [work for t in self.trained for work in t.evaluations.values()]
        # Files that are wrong show before hours of training; real-only arms need no generator, so
        # they keep the other workers busy while it is trained.
        self.executor.run([plan.development(), plan.test(), *plan.external().values()])
        self._require_images()
        self._make_pools(real_only)
        for trained in self.trained:
            if trained.spec.order is not None:
                self._plan_student(trained)
        self.executor.run(self._everything())
        self._settle()

    def _require_images(self) -> None:
        """Without the datasets there is no study."""
        from vesselforge.configs.errors import DataError

        for work in [self.plan.development(), self.plan.test(), *self.plan.external().values()]:
            if self.executor.artifact(work) is None:
                raise DataError(self.executor.why(work))

    def _make_pools(self, beside: list[Work]) -> None:
        """Label pools until every origin has kept as many images as its arms need."""
        plan, origins = self.plan, self.plan.origins()
        pools = {o: min(plan.pools_for(o, most), plan.most_pools(o)) for o, most in origins.items()}
        while True:
            for origin, number in pools.items():
                self.used[origin] = [plan.label(origin, i) for i in range(number)]
            labelled = chain.from_iterable(self.used.values())
            self.executor.run([*labelled, *beside])  # the generator takes longest: it starts first
            more = {origin: self._pools_for(origin, most) for origin, most in origins.items()}
            if more == pools:
                break
            pools = more
        for arm in plan.arms:
            for seed in plan.seeds if arm.order else []:
                self._select(plan.origin(arm, seed), arm.count)

    def _pools_for(self, origin: Origin, most: int) -> int:
        """How many pools to have, by the share that the pools so far have kept.

        More than needed do no harm: a selection takes the first ones that hold its count.
        """
        kept, so_far = self._kept(origin), len(self.used[origin])
        held = sum(of_pool or 0 for of_pool in kept)
        if None in kept or held >= most:
            return so_far
        wanted = math.ceil(most * so_far / held) if held else 2 * so_far
        return min(max(wanted, so_far + 1), self.plan.most_pools(origin))

    def _kept(self, origin: Origin) -> list[int | None]:
        """Images kept of each pool; None for a pool that failed."""
        found = [self.executor.artifact(work) for work in self.used[origin]]
        return [None if made is None else int(made.metrics["kept"]) for made in found]

    def _select(self, origin: Origin, count: int) -> None:
        """The fewest pools that hold the count; or why there are too few."""
        if (origin, count) in self.selections or (origin, count) in self.shortage:
            return
        kept, held = self._kept(origin), 0
        for number, of_pool in enumerate(kept, 1):
            if of_pool is None:
                why = self.executor.why(self.used[origin][number - 1])
                self.shortage[origin, count] = Shortage(why, short=False)
                return
            held += of_pool
            if held >= count:
                self.selections[origin, count] = self.plan.selected(origin, count, number)
                return
        drawn = count if self.plan.limited(origin) else len(kept) * self.plan.config.synthetic.pool
        why = (
            f"only {held} of {drawn} synthetic images were kept, {count} are needed; loosen "
            "pseudo_label's filters, train the generator longer, or raise synthetic.most_pools"
        )
        self.shortage[origin, count] = Shortage(why, short=True)

    def _plan_student(self, trained: TrainedArm) -> None:
        arm, seed = trained.spec, trained.seed
        if arm.order is not None:
            origin = self.plan.origin(arm, seed)
            trained.selection = self.selections.get((origin, arm.count))
            if trained.selection is None:
                trained.why, trained.short = self.shortage[origin, arm.count]
                return
        trained.student = self.plan.student_of(arm, seed, trained.selection)
        name = f"{arm.label}, {arm.real_images} real, seed {seed}"
        real = self.plan.real_of(arm, seed)
        trained.evaluations = self.plan.evaluations(trained.student, real, name)

    def realism(self) -> dict[tuple[Origin, int], Work]:
        """Scores of every selection of synthetic images."""
        found = {}
        for (origin, count), selection in self.selections.items():
            if (work := self.plan.realism(origin, selection)) is not None:
                found[origin, count] = work
        return found

    def teachers(self) -> dict[str, dict[str, Work]]:
        """Evaluations of the first teacher of each number of real images and seed."""
        found = {}
        for real_images, seed in self.plan.taught():
            teacher = self.plan.teacher(real_images, seed)
            real = self.plan.real(real_images, seed)
            found[teacher.step] = self.plan.evaluations(teacher, real, teacher.step)
        return found

    def ensembles(self) -> dict[tuple[ArmSpec, EnsembleMethod], dict[str, Work]]:
        """Evaluations of each arm's students as one, by every method, where two or more are."""
        found = {}
        for arm in self.plan.arms:
            students = {
                t.seed: t.student
                for t in self.trained
                if t.spec == arm and t.student and self.executor.artifact(t.student)
            }
            if len(students) < 2:
                continue
            real = self.plan.real(arm.real_images, 0)
            for method in self.plan.config.ensembles:
                work = self.plan.seeds_as_one(arm, method, students, real)
                name = f"{method}, {arm.label}, {arm.real_images} real"
                found[arm, method] = self.plan.evaluations(work, real, name)
        return found

    def _everything(self) -> list[Work]:
        scores = [work for t in self.trained for work in t.evaluations.values()]
        teachers = [work for each in self.teachers().values() for work in each.values()]
        return [*scores, *self.realism().values(), *teachers]

    def _settle(self) -> None:
        """Ensembles of what was trained; then what came of every arm goes into the record."""
        self.executor.run([w for each in self.ensembles().values() for w in each.values()])
        for trained in self.trained:
            missing = [w for w in trained.evaluations.values() if not self.executor.artifact(w)]
            if missing:
                trained.why = self.executor.why(missing[0])
        lines = [self._line(trained) for trained in self.trained]
        self.record.note("arms", lines)
        failed = [line for line in lines if line["status"] == "failed"]
        for line in failed:
            current().say(f"  failed arm: {line['label']}, seed {line['seed']}: {line['message']}")

    def _line(self, trained: TrainedArm) -> dict[str, Any]:
        artifacts = {
            "selection": trained.selection,
            "student": trained.student,
            **{f"scores on {name}": work for name, work in trained.evaluations.items()},
        }
        made = {role: self.executor.artifact(work) for role, work in artifacts.items() if work}
        return {
            "arm": trained.spec.id,
            "label": trained.spec.label,
            "real_images": trained.spec.real_images,
            "seed": trained.seed,
            "status": "failed" if trained.why else "completed",
            "message": trained.why,
            "artifacts": _references(made),
        }


def _references(made: Mapping[str, Artifact | None]) -> dict[str, list[str]]:
    return {role: reference(artifact) for role, artifact in made.items() if artifact is not None}
