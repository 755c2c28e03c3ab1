"""A study from its datasets to its results: what is run, in which order, and what is noted."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import chain, product
from typing import Any

from vesselforge.configs.errors import DataError
from vesselforge.engine.sinks.display import current
from vesselforge.pipeline.executor import Executor
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.record import RunRecord, reference
from vesselforge.pipeline.study.arms import ArmSpec
from vesselforge.pipeline.study.study_works import Origin, StudyWorks


@dataclass
class TrainedArm:
    """One arm with one seed. evaluations: by name of the test set; why: of its failure."""

    spec: ArmSpec
    seed: int
    selection: Work | None = None
    student: Work | None = None
    evaluations: dict[str, Work] = field(default_factory=dict)
    why: str = ""


@dataclass
class Study:
    """Runs a plan. trained: every arm with every seed, in the order of the plan. used: the labelled
    pools of each origin, as many as its arms needed; scores: of the most of its images that an arm
    takes, where it has any that are to be scored."""

    plan: StudyWorks
    executor: Executor
    record: RunRecord
    trained: list[TrainedArm] = field(default_factory=list)
    used: dict[Origin, list[Work]] = field(default_factory=dict)
    scores: dict[Origin, Work] = field(default_factory=dict)
    unsettled: dict[Origin, int] = field(default_factory=dict)
    """Origins that may need further pools, with the most images that an arm takes."""

    def run(self) -> None:
        """Do everything; afterwards `trained` says what came of each arm."""
        plan = self.plan
        images = [plan.development(), plan.test(), *plan.external().values()]
        self.executor.run(images)  # files that are wrong show before hours of training
        for work in images:
            if self.executor.artifact(work) is None:
                raise DataError(self.executor.why(work))
        self.trained = [TrainedArm(*each) for each in product(plan.arms, plan.config.arms.seeds)]
        self.unsettled = plan.origins()
        for origin, most in self.unsettled.items():
            self.used[origin] = [plan.label(origin, i) for i in range(plan.pools_for(origin, most))]
        targets = list(chain.from_iterable(self.used.values()))  # generators take longest
        for trained in self.trained:
            if trained.spec.order is None:
                targets += self._student(trained)
        self.executor.run(targets, self._further)
        self._settle()

    def _further(self) -> list[Work]:
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
            selection = self._select(origin, arm.count)
            if isinstance(selection, str):
                trained.why = selection
                continue
            selections[arm.count] = trained.selection = selection
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
        return (
            f"only {held} of {drawn} synthetic images were kept, {count} are needed; loosen "
            "pseudo_label's filters, train the generator longer, or raise synthetic.pool"
        )

    def _student(self, trained: TrainedArm) -> Collection[Work]:
        """Plan the student of an arm with one seed; its evaluations."""
        scored = self.plan.scored(trained.spec, trained.seed, trained.selection)
        trained.student, trained.evaluations = scored
        return trained.evaluations.values()

    def _settle(self) -> None:
        """What came of every arm goes into the record, and failures are told."""
        lines = [self._line(trained) for trained in self.trained]
        self.record.note("arms", lines)
        for line in lines:
            if line["message"]:
                who = f"{line['label']}, seed {line['seed']}"
                current().say(f"  failed arm: {who}: {line['message']}")

    def _line(self, trained: TrainedArm) -> dict[str, Any]:
        scores = trained.evaluations
        works = {"selection": trained.selection, "student": trained.student}
        works |= {f"scores on {name}": work for name, work in scores.items()}
        made = {role: self.executor.artifact(work) for role, work in works.items() if work}
        if missing := [work for work in scores.values() if not self.executor.artifact(work)]:
            trained.why = self.executor.why(missing[0])
        return {
            "arm": trained.spec.id,
            "label": trained.spec.label,
            "real_images": trained.spec.real_images,
            "seed": trained.seed,
            "status": "failed" if trained.why else "completed",
            "message": trained.why,
            "artifacts": {role: reference(found) for role, found in made.items() if found},
        }
