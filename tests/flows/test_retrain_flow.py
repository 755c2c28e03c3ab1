"""The flow of retraining: what it does with unchanged, new, bad and missing images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vesselforge.configs.settings import PipelineConfig
from vesselforge.data.layouts.intake import Intake
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.data.phantoms.sets import write_phantoms
from vesselforge.engine.artifacts import MANIFEST, Artifact
from vesselforge.engine.files import write_json
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.models.registry import Registry, Version

pytestmark = pytest.mark.slow


@pytest.fixture
def eyes(tmp_path: Path) -> Path:
    root = tmp_path / "eyes"
    write_phantoms(root, PipelineConfig().data.phantom.model_copy(update={"size": 64, "train": 4}))
    return root


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, prefect_api: None) -> list[list[str]]:
    """Challengers that nobody trains; of each, the identifiers that were left out."""
    asked: list[list[str]] = []

    def train(config: PipelineConfig, workspace: Path, number: int, intake: Intake) -> Version:
        asked.append(sorted(intake.quarantined))
        folder = workspace / "store" / "segmenter.ensemble" / f"{number:024d}"
        folder.mkdir(parents=True)
        content = {"kind": "segmenter.ensemble", "digest": folder.name, "metrics": {}, "files": {}}
        content |= {"settings": {}, "inputs": {}}
        write_json(folder / MANIFEST, content)
        return Version(
            number=number, made="2026-01-01T00:00:00Z", run=f"{config.name}-v{number}",
            model=["segmenter.ensemble", folder.name],
            artifacts=[["segmenter.ensemble", folder.name]], trained_on=["a"],
            images=intake.images, quarantined=len(intake.quarantined), f1=0.8, verdict="held back",
        )  # fmt: skip

    monkeypatch.setattr("vesselforge.flows.retrain.train_challenger", train)
    return asked


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, float]]:
    """What the comparison finds, image by image; a test fills it in."""
    found: dict[str, dict[str, float]] = {}

    class Compares:
        def __init__(self, workspace: Path, hand: Any) -> None:
            self.workspace = workspace

        def make(self, work: Work) -> Artifact:
            assert work.kind == "segmenter.compare"
            assert set(work.inputs) == {"images", "champion", "challenger"}
            content = {"kind": work.kind, "digest": "c", "metrics": {"per_image": found}}
            return Artifact(self.workspace, content)

    monkeypatch.setattr("vesselforge.flows.retrain.Executor", Compares)
    monkeypatch.setattr("vesselforge.flows.retrain.read_run", lambda *_: (Path(), PREPARED))
    monkeypatch.setattr("vesselforge.flows.retrain.read_index", lambda *_: [])
    return found


PREPARED = {"artifacts": {"development": ["data.prepare", "d"]}}


def retrain(tmp_path: Path, eyes: Path, *overrides: str) -> Any:
    from vesselforge.flows.retrain import retrain as flow

    config = PipelineConfig.model_validate({"name": "eyes", "data": {"name": "paired"}})
    changes = [f"data.root={eyes}", *overrides]
    return flow(config, overrides=changes, workspace=str(tmp_path / "ws"), return_state=True)


def add(eyes: Path, name: str, seed: int) -> None:
    made = make_phantom(seed, 64)
    Image.fromarray(made.image).save(eyes / "images" / f"{name}.png")
    Image.fromarray(made.mask.astype(np.uint8) * 255).save(eyes / "masks" / f"{name}.png")


def test_nothing_new_nothing_done(tmp_path: Path, eyes: Path, trained: list[list[str]]) -> None:
    state = retrain(tmp_path, eyes)
    assert (state.name, state.type.value) == ("Promoted", "COMPLETED"), state.message
    assert "the first model of this line" in state.message
    for _ in range(2):
        state = retrain(tmp_path, eyes)
        assert (state.name, state.type.value) == ("NothingToDo", "COMPLETED")
        assert "no new images or settings since version 1" in state.message
    # Settings that say how to decide, or how to work, are no reason to train again.
    assert retrain(tmp_path, eyes, "retrain.margin=0.05").name == "NothingToDo"
    assert retrain(tmp_path, eyes, "teacher.device=cpu").name == "NothingToDo"
    assert trained == [[]]


def test_promoted_held_back_and_never_asked_twice(
    tmp_path: Path, eyes: Path, trained: list[list[str]], scores: dict[str, dict[str, float]]
) -> None:
    retrain(tmp_path, eyes)
    add(eyes, "new", 100)
    worse = {"champion": 0.8, "challenger": 0.7}
    scores |= {"x": worse, "y": worse}
    state = retrain(tmp_path, eyes)
    assert (state.name, state.type.value) == ("HeldBack", "COMPLETED"), state.message
    assert "F1 -0.1000 against version 1 on 2 validation images" in state.message
    registry = Registry(tmp_path / "ws", "eyes")
    assert registry.read().champions == [1]
    assert retrain(tmp_path, eyes).name == "NothingToDo"

    add(eyes, "newer", 101)
    scores |= {"x": {"champion": 0.8, "challenger": 0.81}, "y": {"champion": 0.7} | worse}
    scores["y"] = {"champion": 0.7, "challenger": 0.71}
    state = retrain(tmp_path, eyes)
    assert state.name == "Promoted", state.message
    line = registry.read()
    assert line.champions == [1, 3]
    assert [v.verdict for v in line.versions] == ["first", "held back", "promoted"]
    assert [e.what for e in line.events] == ["promoted", "held back", "promoted"]


def test_a_bad_image_is_quarantined_and_not_fatal(
    tmp_path: Path, eyes: Path, trained: list[list[str]]
) -> None:
    add(eyes, "torn", 100)
    (eyes / "images" / "torn.png").write_bytes(b"\x89PNG and then nothing")
    state = retrain(tmp_path, eyes)
    assert state.name == "Promoted", state.message
    assert trained == [["torn"]]
    quarantine = json.loads((tmp_path / "ws/models/eyes/quarantine.json").read_text())
    assert list(quarantine) == ["torn"] and "cannot be read" in quarantine["torn"]
    assert (eyes / "images" / "torn.png").is_file()
    assert retrain(tmp_path, eyes).name == "NothingToDo"


def test_what_stops_it(tmp_path: Path, eyes: Path, trained: list[list[str]]) -> None:
    state = retrain(tmp_path, tmp_path / "elsewhere")
    assert state.name == "BadInput" and "no such dataset folder" in state.message
    retrain(tmp_path, eyes)
    add(eyes, "new", 100)
    model = tmp_path / "ws" / "store" / "segmenter.ensemble" / f"{1:024d}"
    (model / MANIFEST).unlink()
    state = retrain(tmp_path, eyes)
    assert state.name == "BadInput" and "version 1, is gone" in state.message
    assert "vesselforge models promote eyes" in state.message
    assert len(trained) == 1
