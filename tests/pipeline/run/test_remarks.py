"""What the command line says beside scores and samples, from what is in the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from vesselforge.cli.main import main
from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.artifacts import MANIFEST, Artifact, read_artifact
from vesselforge.engine.files import write_json
from vesselforge.engine.store import Store
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.run.run_works import NOT_KNOWN, remarks_on_step, run_works

FOG = {"drawn": 500, "kept": 500, "in_range": {"all": 0.006, "kept": 0.006}}
NO_VESSELS = "The synthetic images show no vessels: 3 of 500 pass"
TOLD = {"kid_mean": 0.01, "kid_std": 0.2, "kid_floor_mean": 0.001, "kid_floor_std": 0.001}


def put(workspace: Path, work: Work, metrics: dict[str, Any]) -> Artifact:
    """A finished artifact of the work, without files."""
    folder = Store(workspace).folder(work.kind, work.digest)
    folder.mkdir(parents=True)
    content = {"kind": work.kind, "digest": work.digest, "metrics": metrics, "files": {}}
    write_json(folder / MANIFEST, content | {"settings": {}, "inputs": {}})
    return read_artifact(folder)


def planned(config: PipelineConfig) -> dict[str, Work]:
    return run_works(config).augmentation()


def config(**changes: Any) -> PipelineConfig:
    return PipelineConfig.model_validate({"name": "remarked", **changes})


def test_labels_tell_whether_samples_show_vessels(tmp_path: Path) -> None:
    settings = config()
    made = planned(settings)
    samples = put(tmp_path, made["samples"], {})
    assert remarks_on_step("samples", settings, tmp_path, samples) == [NOT_KNOWN]
    assert remarks_on_step("generator", settings, tmp_path, samples) == []
    put(tmp_path, made["labelled"], FOG)
    [said] = remarks_on_step("samples", settings, tmp_path, samples)
    assert said.startswith(NO_VESSELS)
    score = put(tmp_path, made["score"], TOLD)
    put(tmp_path, made["generator"], {"kimg": 0.5})
    kid, said, untrained = remarks_on_step("scores", settings, tmp_path, score)
    assert kid.startswith("KID cannot tell") and said.startswith(NO_VESSELS)
    assert untrained == "The generator is untrained: its weights saw 0.5 kimg."


def test_good_samples_and_real_images_get_no_remark(tmp_path: Path) -> None:
    settings = config()
    made = planned(settings)
    put(tmp_path, made["labelled"], FOG | {"in_range": {"all": 0.9, "kept": 0.9}})
    assert remarks_on_step("samples", settings, tmp_path, put(tmp_path, made["samples"], {})) == []
    (tmp_path / "eyes").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "eyes" / "a.png")
    real = config(source={"kind": "unlabelled", "root": tmp_path / "eyes"})
    assert remarks_on_step("samples", real, tmp_path, Artifact(tmp_path, {"metrics": {}})) == []


def test_the_command_ends_with_the_remarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config()
    work = planned(settings)["score"]
    metrics = {"images": 0, "models": {}, "observers": {}, "note": "pretended"}
    made = put(tmp_path, work, metrics)
    found = {"run": "r", "report": "r/report.html", "evaluation": [made.kind, made.digest]}
    chosen = {"model": "teacher", "validation_f1": {"teacher": 0.82, "student": 0.81}}
    found |= {"remarks": [f"{NO_VESSELS}."], "chosen": chosen}
    monkeypatch.setattr("vesselforge.flows.launch.launch", lambda *_: found)
    command = ["run", "quickstart", "--workspace", str(tmp_path)]
    said = CliRunner().invoke(main, command).stdout
    serves = "“predict” uses the teacher: it is best on the validation images (F1: teacher 0.8200, "
    serves += "student 0.8100)."
    assert said == f"pretended\n{NO_VESSELS}.\n{serves}\nreport: r/report.html\n"
    told = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    assert told["remarks"] == [f"{NO_VESSELS}."]
    monkeypatch.setattr("vesselforge.pipeline.run.run_works.run_until", lambda *_: made)
    monkeypatch.setattr(
        "vesselforge.pipeline.run.run_works.remarks_on_step", lambda *_: [f"{NO_VESSELS}."]
    )
    step = ["generator", "score", *command[1:]]
    said = CliRunner().invoke(main, step).stdout
    assert said.splitlines()[-2:] == [f"{NO_VESSELS}.", f"artifact: {made.path}"]
