"""In which order a study's work is begun."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from vesselforge.configs.study import StudyConfig
from vesselforge.engine.artifacts import Artifact, Outcome
from vesselforge.pipeline.executor import Executor
from vesselforge.pipeline.graph import Work, closure
from vesselforge.pipeline.record import RunRecord
from vesselforge.pipeline.study.conduct import Study
from vesselforge.pipeline.study.study_works import study_works

METRICS = {"kept": 2, "rejected": 0, "reasons": {}, "validation": {"f1": 0.5}, "threshold": 0.5}


class SlowRealOnly:
    """Pretends all work; students of real images alone end when one of synthetic images began."""

    room = 99

    def __init__(self) -> None:
        self.begun: list[Work] = []
        self.polls = 0

    def start(self, work: Work, inputs: Mapping[str, Artifact]) -> Work:
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

    def stop(self, running: Iterable[Any]) -> None:
        """Nothing runs."""


def shows_synthetic(work: Work) -> bool:
    return work.kind == "segmenter.train" and "data.subset" in {
        needed.kind for needed in work.inputs.values()
    }


def test_a_student_does_not_wait_for_the_real_only_arms(
    tiny_study: Callable[..., StudyConfig], tmp_path: Path
) -> None:
    config = tiny_study(arms={"counts": [0, 3]}, synthetic={"pool": 2})
    hand = SlowRealOnly()
    executor = Executor(tmp_path, hand, strict=False)
    study = Study(study_works(config), executor, RunRecord(tmp_path, config))

    study.run()

    assert not [trained.why for trained in study.trained if trained.why]
    assert all(len(pools) == 2 for pools in study.used.values())  # each keeps 2 of the 3
    assert {work.digest for work in hand.begun} >= set(closure(study.plan.everything()))
