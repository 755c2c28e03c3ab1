"""A study from its datasets to its results: what is run, in which order, and what is noted."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import chain, product
from typing import Any

from vesselforge.configs.errors import DataError
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.sinks.display import current
from vesselforge.pipeline.executor import Executor
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.record import RunRecord, reference
from vesselforge.pipeline.study.arms import ArmSpec
from vesselforge.pipeline.study.study_plan import Scores, StudyPlan
from vesselforge.pipeline.study.study_works import Origin, StudyWorks


@dataclass
class TrainedInFold:
    """One arm with one seed in one fold. evaluations: by name of the test set; why: of its failure
    before it had a student."""

    spec: ArmSpec
    seed: int
    selection: Work | None = None
    student: Work | None = None
    evaluations: dict[str, Work] = field(default_factory=dict)
    why: str = ""


@dataclass
class TrainedArm:
    """One arm with one seed. folds: what it is in each; scores: once all folds have theirs; why: of
    its failure."""

    spec: ArmSpec
    seed: int
    folds: list[TrainedInFold]
    scores: Scores = field(default_factory=dict)
    why: str = ""


@dataclass
class StudyFold:
    """Plans the work of one fold while it is done. trained: every arm with every seed, in the order
    of the plan. used: the labelled pools of each origin, as many as its arms needed; scores: of the
    most of its images that an arm takes, where it has any that are to be scored. unsettled: origins
    that may need further pools, with the most images that an arm takes."""

    plan: StudyWorks
    executor: Executor

    def __post_init__(self) -> None:
        plan = self.plan
        self.trained = [TrainedInFold(*each) for each in product(plan.arms, plan.config.arms.seeds)]
        self.unsettled = plan.origins()
        self.used = {
            origin: [plan.label(origin, i) for i in range(plan.pools_for(origin, most))]
            for origin, most in self.unsettled.items()
        }
        self.scores: dict[Origin, Work] = {}

    def real_only(self) -> list[Work]:
        """The arms of real images alone, which wait for no pool."""
        bare = [trained for trained in self.trained if trained.spec.order is None]
        return [work for trained in bare for work in self._student(trained)]

    def further(self) -> list[Work]:
        """Of each origin whose pools are labelled: further pools, until enough images were kept,
        then what its images are for."""
        found: list[Work] = []
        for origin, most in list(self.unsettled.items()):
            pools = self.used[origin]
            if not all(map(self.executor.is_over, pools)):
                continue
            number = self._pools_for(origin, most)
            more = [self.plan.label(origin, i) for i in range(len(pools), number)]
            pools += more
            found += more
            if not more:
                del self.unsettled[origin]
                found += self._students(origin)
        return found

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

    def _students(self, origin: Origin) -> list[Work]:
        """The arms that take images of an origin, and the scores of the most that one takes."""
        found: list[Work] = []
        selections: dict[int, Work] = {}
        for trained in self.trained:
            arm = trained.spec
            if arm.order is None or self.plan.origin(arm, trained.seed) != origin:
                continue
            count = self.plan.synthetic_count(arm)
            selection = self._select(origin, count)
            if isinstance(selection, str):
                trained.why = selection
                continue
            selections[count] = trained.selection = selection
            found += self._student(trained)
        if selections and not self.plan.limited(origin):
            largest = selections[max(selections)]
            self.scores[origin] = self.plan.realism(origin, largest)
            found.append(self.scores[origin])
        return found

    def _select(self, origin: Origin, count: int) -> Work | str:
        """The images of the fewest pools that hold the count; or why there are too few."""
        kept, held = self._kept(origin), 0
        for number, of_pool in enumerate(kept, 1):
            if of_pool is None:
                return self.executor.why(self.used[origin][number - 1])
            held += of_pool
            if held >= count:
                return self.plan.selected(origin, count, number)
        drawn = count if self.plan.limited(origin) else len(kept) * self.plan.config.synthetic.pool
        where = self.plan.mark.removeprefix(", ")
        return (
            f"{where and f'{where}: '}only {held} of {drawn} synthetic images were kept, {count} "
            "are needed; loosen pseudo_label's filters, train the generator longer, or raise "
            "synthetic.pool"
        )

    def _student(self, trained: TrainedInFold) -> Collection[Work]:
        """Plan the student of an arm with one seed; its evaluations."""
        scored = self.plan.scored(trained.spec, trained.seed, trained.selection)
        trained.student, trained.evaluations = scored
        return trained.evaluations.values()


@dataclass
class Study:
    """Runs a plan. folds: one, or those of a cross-validation; trained: every arm with every seed,
    in the order of the plan."""

    plan: StudyPlan
    executor: Executor
    record: RunRecord

    def __post_init__(self) -> None:
        self.folds = [StudyFold(works, self.executor) for works in self.plan.folds]
        in_folds = zip(*(fold.trained for fold in self.folds), strict=True)
        self.trained = [TrainedArm(each[0].spec, each[0].seed, [*each]) for each in in_folds]

    def run(self) -> None:
        """Do everything; afterwards `trained` says what came of each arm."""
        images = [work for works in self.plan.folds for work in works.images()]
        self.executor.run(images)  # files that are wrong show before hours of training
        for work in images:
            if self.executor.artifact(work) is None:
                raise DataError(self.executor.why(work))
        pools = chain(*(used for fold in self.folds for used in fold.used.values()))
        targets = [*pools]  # generators take longest
        targets += chain(*(fold.real_only() for fold in self.folds))
        self.executor.run(targets, self._further)
        self._settle()

    def _further(self) -> list[Work]:
        """What the folds go on with, and the scores of arms that have a student in all of them."""
        found = [work for fold in self.folds for work in fold.further()]
        for trained in self.trained:
            evaluations = [each.evaluations for each in trained.folds]
            if not trained.scores and all(evaluations):
                trained.scores = self.plan.scores(trained.spec, trained.seed, evaluations)
                found += chain(*trained.scores.values())
        return found

    def _settle(self) -> None:
        """What came of every arm goes into the record, and failures are told."""
        lines = [self._line(trained) for trained in self.trained]
        self.record.note("arms", lines)
        for line in lines:
            if line["message"]:
                who = f"{line['label']}, seed {line['seed']}"
                current().say(f"  failed arm: {who}: {line['message']}")

    def _line(self, trained: TrainedArm) -> dict[str, Any]:
        missing = [w for w in chain(*trained.scores.values()) if not self.executor.artifact(w)]
        reasons = [each.why for each in trained.folds if each.why]
        reasons += [self.executor.why(work) for work in missing]
        trained.why = reasons[0] if reasons else ""
        return {
            "arm": trained.spec.id,
            "label": trained.spec.label,
            "real_images": trained.spec.real_images,
            "seed": trained.seed,
            "status": "failed" if trained.why else "completed",
            "message": trained.why,
            "artifacts": {role: reference(made) for role, made in self._made(trained).items()},
        }

    def _made(self, trained: TrainedArm) -> dict[str, Artifact]:
        """Role → artifact, as far as there is one; roles in a fold are its own: `fold-0/student`,
        as in the record of a run."""
        works: dict[str, Work | None] = {}
        for number, each in enumerate(trained.folds):
            part = f"fold-{number}/" if self.plan.cross_validated else ""
            works |= {f"{part}selection": each.selection, f"{part}student": each.student}
            works |= {f"{part}scores on {name}": work for name, work in each.evaluations.items()}
        whole = {name: scores[0] for name, scores in trained.scores.items() if len(scores) == 1}
        works |= {f"scores on {name}": work for name, work in whole.items()}
        made = {role: self.executor.artifact(work) for role, work in works.items() if work}
        return {role: artifact for role, artifact in made.items() if artifact}
