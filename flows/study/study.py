"""A study from its datasets to its results: what is run, in which order, and what is noted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from configs.segmenter import EnsembleMethod
from data.store import Artifact
from flows.display import current
from flows.runs import RunRecord, reference
from flows.study.arms import ArmSpec
from flows.study.fanout import Fanout
from flows.study.plan import Plan, Source
from flows.study.work import Work


@dataclass
class TrainedArm:
    """One arm with one seed. evaluations: by name of the test set; why: of its failure."""

    spec: ArmSpec
    seed: int
    student: Work | None = None
    selection: Work | None = None
    evaluations: dict[str, Work] = field(default_factory=dict)
    why: str = ""


@dataclass
class Study:
    """Runs a plan. trained: every arm with every seed, in the order of the plan."""

    plan: Plan
    fanout: Fanout
    record: RunRecord
    trained: list[TrainedArm] = field(default_factory=list)
    selections: dict[tuple[Source, int], Work] = field(default_factory=dict)
    shortage: dict[tuple[Source, int], str] = field(default_factory=dict)
    used: dict[Source, list[Work]] = field(default_factory=dict)
    """The labelled pools of each source, as many as its arms needed."""

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
        self.fanout.run([plan.development(), plan.test(), *plan.external().values()])
        self._require_images()
        self._make_pools(real_only)
        for trained in self.trained:
            if trained.spec.order is not None:
                self._plan_student(trained)
        self.fanout.run(self._everything())
        self._settle()

    def _require_images(self) -> None:
        """Without the datasets there is no study."""
        from configs.errors import DataError

        for work in [self.plan.development(), self.plan.test(), *self.plan.external().values()]:
            if self.fanout.artifact(work) is None:
                raise DataError(self.fanout.why(work))

    def _make_pools(self, beside: list[Work]) -> None:
        """Label pools until every source has kept as many images as its arms need."""
        plan, sources = self.plan, self.plan.sources()
        limit = plan.config.synthetic.most_pools
        pools = {source: min(plan.pools_for(most), limit) for source, most in sources.items()}
        while True:
            for source, number in pools.items():
                self.used[source] = [plan.label(source, i) for i in range(number)]
            labelled = chain.from_iterable(self.used.values())
            self.fanout.run([*labelled, *beside])  # the generator takes longest: it starts first
            more = {s: self._pools_for(s, most) for s, most in sources.items()}
            if more == pools:
                break
            pools = more
        for arm in plan.arms:
            for seed in plan.seeds if arm.order else []:
                self._select(plan.source(arm.real_images, seed), arm.count)

    def _pools_for(self, source: Source, most: int) -> int:
        """How many pools to have, by the share that the pools so far have kept.

        More than needed do no harm: a selection takes the first ones that hold its count.
        """
        kept, so_far = self._kept(source), len(self.used[source])
        held = sum(of_pool or 0 for of_pool in kept)
        if None in kept or held >= most:
            return so_far
        wanted = math.ceil(most * so_far / held) if held else 2 * so_far
        return min(max(wanted, so_far + 1), self.plan.config.synthetic.most_pools)

    def _kept(self, source: Source) -> list[int | None]:
        """Images kept of each pool; None for a pool that failed."""
        found = [self.fanout.artifact(work) for work in self.used[source]]
        return [None if made is None else int(made.metrics["kept"]) for made in found]

    def _select(self, source: Source, count: int) -> None:
        """The fewest pools that hold the count; or why there are too few."""
        if (source, count) in self.selections or (source, count) in self.shortage:
            return
        kept, held = self._kept(source), 0
        for number, of_pool in enumerate(kept, 1):
            if of_pool is None:
                self.shortage[source, count] = self.fanout.why(self.used[source][number - 1])
                return
            held += of_pool
            if held >= count:
                self.selections[source, count] = self.plan.selection(source, count, number)
                return
        drawn = len(kept) * self.plan.config.synthetic.pool
        self.shortage[source, count] = (
            f"only {held} of {drawn} synthetic images were kept, {count} are needed; loosen "
            "pseudo_label's filters, train the generator longer, or raise synthetic.most_pools"
        )

    def _plan_student(self, trained: TrainedArm) -> None:
        arm, seed = trained.spec, trained.seed
        source = self.plan.source(arm.real_images, seed)
        if arm.order is not None:
            trained.selection = self.selections.get((source, arm.count))
            if trained.selection is None:
                trained.why = self.shortage[source, arm.count]
                return
        trained.student = self.plan.student(arm, seed, trained.selection)
        real = self.plan.real(arm.real_images, source.seed)
        name = f"{arm.label}, {arm.real_images} real, seed {seed}"
        trained.evaluations = self.plan.evaluations(trained.student, real, name)

    def realism(self) -> dict[tuple[Source, int], Work]:
        """Scores of every selection."""
        chosen = self.selections.items()
        return {key: self.plan.realism(key[0], selection) for key, selection in chosen}

    def teachers(self) -> dict[Source, dict[str, Work]]:
        """Evaluations of the first teacher of each source."""
        found = {}
        for source in self.plan.sources():
            real = self.plan.real(source.real_images, source.seed)
            teacher = self.plan.teacher(source)
            found[source] = self.plan.evaluations(teacher, real, f"teacher, {source.name}")
        return found

    def ensembles(self) -> dict[tuple[ArmSpec, EnsembleMethod], dict[str, Work]]:
        """Evaluations of each arm's students as one, by every method, where two or more are."""
        found = {}
        for arm in self.plan.arms:
            students = {
                t.seed: t.student
                for t in self.trained
                if t.spec == arm and t.student and self.fanout.artifact(t.student)
            }
            if len(students) < 2:
                continue
            real = self.plan.real(arm.real_images, 0)
            for method in self.plan.config.ensembles:
                work = self.plan.ensemble(arm, method, students, real)
                name = f"{method}, {arm.label}, {arm.real_images} real"
                found[arm, method] = self.plan.evaluations(work, real, name)
        return found

    def _everything(self) -> list[Work]:
        scores = [work for t in self.trained for work in t.evaluations.values()]
        teachers = [work for each in self.teachers().values() for work in each.values()]
        return [*scores, *self.realism().values(), *teachers]

    def _settle(self) -> None:
        """Ensembles of what was trained; then what came of every arm goes into the record."""
        self.fanout.run([w for each in self.ensembles().values() for w in each.values()])
        for trained in self.trained:
            missing = [w for w in trained.evaluations.values() if not self.fanout.artifact(w)]
            if missing:
                trained.why = self.fanout.why(missing[0])
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
        made = {role: self.fanout.artifact(work) for role, work in artifacts.items() if work}
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
