from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from progress_heard import HELPERS

from vesselforge.engine.artifacts import Inputs, Outcome, Stage
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import Store
from vesselforge.pipeline.stages import STAGES, digest_of

Made = list[tuple[str, str]]
VERSIONS = {"exact": 101, "shuffled": 102, "stingy": 103}
"""Of planted stages: other labels are other work, and have other addresses."""


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put planted stages in the place of the generator's, with `exact`, `shuffled` or
    `stingy` labels."""
    monkeypatch.syspath_prepend(str(HELPERS))

    def plant(labels: str) -> None:
        functions = {
            "generator.train": "no_generator",
            "generator.sample": "perfect",
            "generator.score": "no_scores",
            "segmenter.pseudo-label": labels,
        }
        for kind, function in functions.items():
            stage = Stage(kind, VERSIONS[labels], f"planted:{function}", STAGES[kind].settings)
            monkeypatch.setitem(STAGES, kind, stage)

    return plant


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, prefect_api: None) -> Made:
    """Stages run in this process, which has torch loaded; (kind, digest) of all that were made."""
    made: Made = []

    def produce(
        workspace: Path,
        kind: str,
        settings: Any,
        inputs: Inputs,
        progress: Progress,
        outside: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        step: str | None = None,
    ) -> Outcome:
        found = Store(workspace).find(kind, digest_of(kind, settings, inputs, outside))
        if found is not None:
            return Outcome(found, True, 0.0)
        artifact = Store(workspace).produce(STAGES[kind], settings, inputs, progress, outside)
        made.append((kind, artifact.digest))
        return Outcome(artifact, False, 0.0)

    monkeypatch.setattr("vesselforge.flows.tasks.produce", produce)
    monkeypatch.setattr(
        "vesselforge.flows.run.report_on", lambda folder, store: folder / "report.html"
    )
    return made
