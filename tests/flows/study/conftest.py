from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
from progress_heard import HELPERS
from studied import Studied

from vesselforge.configs.study import StudyConfig
from vesselforge.engine.artifacts import Outcome, Stage
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import Store
from vesselforge.flows.compare import compare_ratios
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.stages import STAGES

Made = list[tuple[str, str]]
VERSIONS = {"exact": 101, "shuffled": 102, "stingy": 103}
"""Of planted stages: other labels are other work, and have other addresses."""


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put planted stages in the place of the generator's, with `exact`, `shuffled` or
    `stingy` labels."""
    return partial(plant, monkeypatch)


def plant(monkeypatch: pytest.MonkeyPatch, labels: str) -> None:
    monkeypatch.syspath_prepend(str(HELPERS))
    functions = {
        "generator.train": "no_generator",
        "generator.sample": "perfect",
        "generator.score": "no_scores",
        "segmenter.pseudo-label": labels,
    }
    for kind, function in functions.items():
        stage = Stage(kind, VERSIONS[labels], f"planted:{function}", STAGES[kind].settings)
        monkeypatch.setitem(STAGES, kind, stage)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, prefect_api: None) -> Made:
    """Stages run in this process, which has torch loaded; (kind, digest) of all that were made."""
    return stages_here(monkeypatch)


def stages_here(monkeypatch: pytest.MonkeyPatch) -> Made:
    made: Made = []

    def produce(
        workspace: Path,
        work: Work,
        progress: Progress,
        environment: Mapping[str, str] | None = None,
    ) -> Outcome:
        store = Store(workspace)
        found = store.find(work.kind, work.digest)
        if found is not None:
            return Outcome(found, True, 0.0)
        inputs = {name: store.read(w.kind, w.digest) for name, w in work.inputs.items()}
        stage = STAGES[work.kind]
        artifact = store.produce(stage, work.settings, inputs, progress, work.outside)
        made.append((work.kind, artifact.digest))
        return Outcome(artifact, False, 0.0)

    monkeypatch.setattr("vesselforge.pipeline.executor.produce", produce)
    monkeypatch.setattr(
        "vesselforge.flows.run.report_on", lambda folder, store: folder / "report.html"
    )
    return made


@pytest.fixture(scope="session")
def studied(
    prefect_api: None,
    tiny_study: Callable[..., StudyConfig],
    tmp_path_factory: pytest.TempPathFactory,
) -> Studied:
    """The smallest study with planted images."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        plant(monkeypatch, "exact")
        made, workspace = stages_here(monkeypatch), tmp_path_factory.mktemp("studied")
        return Studied(workspace, compare_ratios(tiny_study(), workspace=str(workspace)), made)
