from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.load import SHIPPED
from configs.study import StudyConfig
from data.progress import Progress
from data.store import Inputs, Stage, Store
from flows.stages import STAGES, Outcome, find

HERE = Path(__file__).parent
Made = list[tuple[str, str]]
VERSIONS = {"exact": 101, "shuffled": 102, "stingy": 103}
"""Of planted stages: other labels are other work, and have other addresses."""


@pytest.fixture(autouse=True)
def no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a run's own server: taking and giving back a slot takes the tests' busy server up to
    ten seconds a stage. The limit has tests of its own (test_runners.py)."""
    monkeypatch.setattr("flows.compare._limit", lambda config: None)


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put planted stages in the place of the generator's, with `exact`, `shuffled` or
    `stingy` labels."""
    monkeypatch.syspath_prepend(str(HERE))

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
        found = find(Store(workspace), kind, settings, inputs, outside)
        if found is not None:
            return Outcome(found, True, 0.0)
        artifact = Store(workspace).produce(STAGES[kind], settings, inputs, progress, outside)
        made.append((kind, artifact.digest))
        return Outcome(artifact, False, 0.0)

    monkeypatch.setattr("flows.pipeline.produce", produce)
    monkeypatch.setattr("flows.pipeline.report_on", lambda folder, store: folder / "report.html")
    return made


@pytest.fixture
def tiny_study() -> Callable[..., StudyConfig]:
    """The quickstart study, as small as it can be, with changes to groups of its settings."""

    def build(**changes: Any) -> StudyConfig:
        values = yaml.safe_load((SHIPPED / "compare-quickstart.yaml").read_text())
        phantom = {"train": 4, "validation": 2, "test": 4, "size": 64, "seed": 0}
        fit = {"steps": 2, "batch": 2, "crop": 32, "validate_every": 2}
        gan = {"kimg": 0.016, "snapshot_kimg": 0.016, "channel_base": 64, "latent": 8}
        small: dict[str, Any] = {
            "name": "tiny",
            "data": {"phantom": phantom},
            "arms": {"counts": [0, 2, 4], "orders": ["synthetic-first"], "seeds": [0, 1]},
            "teacher": fit | {"steps": 3},
            "generator": gan,
            "synthetic": {"pool": 3},
            "score": {"real_views": 4, "kid_subset_size": 2, "kid_subsets": 2},
            "first": fit,
            "second": fit,
            "ensembles": [],
            "evaluate": {"bootstrap": 100},
            "statistics": {"bootstrap": 300},
            "execution": {"workers": 1},
        }
        for given in (small, changes):
            for name, value in given.items():
                old = values.get(name)
                merge = isinstance(value, dict) and isinstance(old, dict)
                values[name] = old | value if merge else value
        return StudyConfig.model_validate(values)

    return build
