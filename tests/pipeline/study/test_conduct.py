"""In which order a study's work is begun."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vesselforge.configs.study import StudyConfig
from vesselforge.engine.artifacts import Artifact, Outcome
from vesselforge.pipeline.executor import Executor, Hand
from vesselforge.pipeline.graph import Work, closure
from vesselforge.pipeline.record import RunRecord
from vesselforge.pipeline.study.conduct import Study
from vesselforge.pipeline.study.study_plan import study_plan

METRICS: dict[str, Any] = {
    "kept": 1,
    "rejected": 0,
    "reasons": {},
    "validation": {"f1": 0.5},
    "threshold": 0.5,
}


class SlowRealOnly(Hand):
    """Pretends all work; students of real images alone end when one of synthetic images began."""

    room = 99

    def __init__(self) -> None:
        self.begun: list[Work] = []
        self.polls = 0

    def start(self, work: Work) -> Work:
        self.begun.append(work)
        return work

    def ended(self, running: Work) -> Outcome | None:
        self.polls += 1
        assert self.polls < 1000, "nobody goes on before the real-only arms are done"
        waits = running.kind == "segmenter.train" and "real only" in running.step
        if waits and not any(map(shows_synthetic, self.begun)):
            return None
        made = {"kind": running.kind, "digest": running.digest, "metrics": METRICS}
        return Outcome(Artifact(Path(), made), False, 0.0)


def shows_synthetic(work: Work) -> bool:
    return work.kind == "segmenter.train" and "data.subset" in {
        needed.kind for needed in work.inputs.values()
    }


Build = Callable[..., StudyConfig]


def run(build: Build, executor: Executor) -> Study:
    """A study whose first pools hold too few images."""
    config = build(arms={"counts": [0, 3]}, synthetic={"pool": 2})
    study = Study(study_plan(config), executor, RunRecord(executor.workspace, config))
    study.run()
    assert all(trained.scores and not trained.why for trained in study.trained)
    (fold,) = study.folds
    assert all(len(pools) == 3 for pools in fold.used.values())  # each keeps 1 of the 3
    return study


def test_a_student_does_not_wait_for_the_real_only_arms(tiny_study: Build, tmp_path: Path) -> None:
    hand = SlowRealOnly()

    study = run(tiny_study, Executor(tmp_path, hand, strict=False))

    there = {work.digest for work in hand.begun}
    works = [work for trained in study.trained for each in trained.scores.values() for work in each]
    scores = list(study.folds[0].scores.values())
    assert there >= set(closure([*works, *scores])) and scores


class Keeps(Hand):
    """Pretends all work at once; nothing is kept of pools in one fold."""

    def __init__(self, nothing_in: str) -> None:
        self.nothing_in = nothing_in

    def start(self, work: Work) -> Outcome:
        metrics = METRICS | {"kept": 9}
        if work.kind == "segmenter.pseudo-label" and work.step.endswith(self.nothing_in):
            metrics |= {"kept": 0, "rejected": 9}
        made = {"kind": work.kind, "digest": work.digest, "metrics": metrics}
        return Outcome(Artifact(Path(), made), False, 0.0)


def test_an_arm_that_fails_in_one_fold_has_no_result(tiny_study: Build, tmp_path: Path) -> None:
    config = tiny_study(data={"folds": 2})
    executor = Executor(tmp_path, Keeps("fold 1"), strict=False)
    study = Study(study_plan(config), executor, RunRecord(tmp_path, config))
    study.run()
    for trained in study.trained:
        if trained.spec.order is None:
            assert not trained.why and executor.artifact(trained.scores["phantom"][0])
        else:
            assert trained.why.startswith("fold 1: only 0 of") and not trained.scores
            assert trained.folds[0].evaluations  # which a mended study goes on from


def test_what_is_there_is_not_begun_again(tiny_study: Build, tmp_path: Path) -> None:
    first, hand = Executor(tmp_path, SlowRealOnly(), strict=False), SlowRealOnly()
    run(tiny_study, first)

    class Resumed(Executor):
        def _found(self, work: Work) -> bool:
            self.done |= {d: a for d, a in first.done.items() if d == work.digest}
            return self.is_over(work)

    run(tiny_study, Resumed(tmp_path, hand, strict=False))
    assert not hand.begun
