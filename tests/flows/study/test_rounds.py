"""A run of two rounds, with the real stages: the second goes on from the first, and resumes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from vesselforge.configs.load import validate
from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.progress import Interrupted
from vesselforge.engine.store import Store
from vesselforge.flows.run import augmentation_pipeline
from vesselforge.pipeline.run import run_works

pytestmark = pytest.mark.slow

Made = list[tuple[str, str]]
VALUES: dict[str, Any] = {
    "name": "rounds",
    "data": {"phantom": {"train": 3, "validation": 2, "test": 2, "size": 64}},
    "teacher": {"steps": 2, "batch": 2, "crop": 32, "validate_every": 2},
    "generator": {
        "presentation": "patch", "resolution": 32, "batch": 8, "kimg": 0.016,
        "snapshot_kimg": 0.016, "snapshot_images": 0, "channel_base": 64, "latent": 8,
    },
    "sample": {"count": 4},
    "score": {"real_views": 4, "kid_subset_size": 2},
    "pseudo_label": {"min_confidence": 0, "min_vessel_share": 0, "max_vessel_share": 1},
    "iterate": {"rounds": 2, "generator_kimg": 0.008},
    "evaluate": {"bootstrap": 100},
}  # fmt: skip


def test_a_second_round_goes_on_from_the_first(
    here: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_works, "LEAST_GAIN", -1.0)  # two steps teach nothing
    config = validate(PipelineConfig, VALUES, "rounds")
    kept = run_works.kept_rounds

    def stopped(f1: Sequence[float]) -> int:
        raise Interrupted

    monkeypatch.setattr(run_works, "kept_rounds", stopped)  # after the first student
    augmentation_pipeline(config, workspace=str(tmp_path), return_state=True)
    first = len(here)
    monkeypatch.setattr(run_works, "kept_rounds", kept)
    made: Any = augmentation_pipeline(config, workspace=str(tmp_path))

    assert len(here) == len({*here}) > first > 0  # nothing is made twice
    roles = json.loads((Path(made["run"]) / "run.json").read_text())["artifacts"]
    store = Store(tmp_path)

    def inputs(role: str) -> dict[str, str]:
        manifest: dict[str, Any] = store.find(*roles[role]).manifest  # type: ignore[union-attr]
        return dict(manifest["inputs"])

    assert inputs("generator-2")["start"] == roles["generator"][1]
    assert inputs("labelled-2")["teacher"] == roles["student"][1]
    assert inputs("samples-2")["generator"] == roles["generator-2"][1]
    members = {"teacher", "student", "student-2"}
    assert {inputs("ensemble")[name] for name in members} == {roles[name][1] for name in members}
    assert members | {"ensemble", "test", "validation"} == inputs("evaluation").keys()
    assert store.find(*roles["generator-2"]).metrics["kimg"] == 0.008  # type: ignore[union-attr]
