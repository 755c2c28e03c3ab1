"""`vesselforge finetune` from a folder of images to a model by name, its page and its card."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from commands import environment, run
from typer.testing import CliRunner

from vesselforge import pretrained
from vesselforge.cli.main import main
from vesselforge.configs.settings import PhantomSettings
from vesselforge.data.phantoms.sets import write_phantoms
from vesselforge.pipeline.record import model_folder
from vesselforge.segmenter.model_files import read_description

pytestmark = pytest.mark.slow

TINY = {"teacher.batch": 2, "teacher.crop": 32, "teacher.validate_every": 1, "teacher.lr": 1e-9}
TINY |= {"evaluate.bootstrap": 100}


def arguments(images: Path, workspace: Path, *more: str) -> list[str]:
    changes = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}")]
    where = [str(images), "--workspace", str(workspace), "--steps", "2", "--folds", "2"]
    return ["finetune", "sa-unet-v2-drive", *where, *changes, *more]


def test_from_a_folder_to_a_model_by_name(home: Path, tmp_path: Path) -> None:
    images, workspace = tmp_path / "My eyes", tmp_path / "workspace"
    write_phantoms(images, PhantomSettings(train=6, validation=1, test=1, size=64))
    dry = CliRunner().invoke(main, arguments(images, workspace, "--dry-run"))
    assert dry.exit_code == 0, dry.output
    assert "begins with the model sa-unet-v2-drive: " in dry.stdout
    assert not list((workspace / "store").glob("*/*"))

    command = [sys.executable, "-m", "vesselforge", *arguments(images, workspace)]
    said = run(command, environment(home), tmp_path)
    assert said.returncode == 0, said.stderr
    folder = workspace / "models" / "my-eyes-finetuned"
    assert f"model: {folder}; " in said.stdout
    assert model_folder(Path("my-eyes-finetuned"), workspace=workspace) == folder
    assert read_description(folder).members[0].network == "sa-unet-v2"

    card = json.loads((folder / "card.json").read_text())
    trained, chose = (set(card["trained_on"][split]) for split in ("train", "validation"))
    assert len(trained | chose) == 8 and not trained & chose  # no image is held back
    scores = card["scores"]
    assert set(scores) == {"paired, before", "paired, after"}
    assert {(s["images"], s["split"]) for s in scores.values()} == {(8, "out of fold")}
    assert scores["paired, before"]["fov"]["pooled"]["f1"] > 0.1
    record = json.loads((workspace / "runs" / "my-eyes-finetuned" / "run.json").read_text())
    assert record["chosen"]["model"] == "final"
    trainings = [a for a in map(tuple, record["artifacts"].values()) if a[0] == "segmenter.train"]
    assert len(set(trainings)) == 3  # two folds, and the final model
    text = (folder / "README.md").read_text()
    assert "| began with | `sa-unet-v2-drive`, trained on DRIVE" in text
    assert f"it was trained on {len(trained)} images" in text
    assert "2 models were trained in the same way, and each of the 8 images was scored by" in text
    page = (workspace / "runs" / "my-eyes-finetuned" / "report.html").read_text()
    assert "No generator has been trained" not in page and "“predict” uses the final model" in page
    assert pretrained.CARD in {path.name for path in folder.iterdir()}
