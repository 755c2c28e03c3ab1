"""`vesselforge finetune` from a folder of images to a model by name, its page and its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vesselforge.cli.main import main
from vesselforge.configs.settings import PhantomSettings, PipelineConfig
from vesselforge.data.phantoms.sets import write_phantoms
from vesselforge.engine.sinks.display import Display, shown
from vesselforge.engine.store import Store
from vesselforge.pipeline.executor import Executor, Here
from vesselforge.pipeline.record import RunRecord, model_folder, reference
from vesselforge.pipeline.run.folds import augment_all
from vesselforge.report.writing import report_on

pytestmark = pytest.mark.slow

MODEL = "sa-unet-v2-drive"
TINY = {"teacher.batch": 2, "teacher.crop": 32, "teacher.validate_every": 1, "teacher.lr": 1e-9}
TINY |= {"evaluate.bootstrap": 100}


def finetune(images: Path, workspace: Path, *more: str) -> Any:
    changes = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}")]
    where = [str(images), "--workspace", str(workspace), "--steps", "2", "--folds", "2"]
    return CliRunner().invoke(main, ["finetune", MODEL, *where, *changes, *more])


def launch(
    flow: str, config: PipelineConfig, workspace: Path, display: Display, server: str | None = None
) -> dict[str, Any]:
    """What the flow does, without Prefect."""
    record = RunRecord(workspace, config)
    with shown(display):
        executor = Executor(workspace, Here(workspace), record.made)
        made = augment_all(config, executor, record, workspace)
    record.finish("completed")
    page = report_on(record.folder, Store(workspace))
    found = {"run": str(record.folder), "report": str(page), "remarks": made.remarks}
    return found | {"evaluation": reference(made.evaluation), "chosen": made.choice}


def test_from_a_folder_to_a_model_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesselforge.flows.launch.launch", launch)
    images, workspace = tmp_path / "My eyes", tmp_path / "workspace"
    write_phantoms(images, PhantomSettings(train=6, validation=1, test=1, size=64))
    dry = finetune(images, workspace, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert f"begins with the model {MODEL}: " in dry.stdout
    assert not list((workspace / "store").glob("*/*"))

    said = finetune(images, workspace)
    assert said.exit_code == 0, said.output
    assert "stages to do; how long is not known yet" in said.stderr
    folder = workspace / "models" / "my-eyes-finetuned"
    assert f"model: {folder}; " in said.stdout
    assert model_folder(Path("my-eyes-finetuned"), workspace=workspace) == folder

    card = json.loads((folder / "card.json").read_text())
    trained, chose = (set(card["trained_on"][split]) for split in ("train", "validation"))
    assert len(trained | chose) == 8 and not trained & chose  # no image is held back
    assert len(card["images_seen"]) == 8
    scores = card["scores"]
    assert set(scores) == {"paired, before", "paired, after"}
    assert {(s["images"], s["split"]) for s in scores.values()} == {(8, "out of fold")}
    record = json.loads((workspace / "runs" / "my-eyes-finetuned" / "run.json").read_text())
    assert record["chosen"]["model"] == "final" and not record["seen_before"]
    trainings = [a for a in map(tuple, record["artifacts"].values()) if a[0] == "segmenter.train"]
    assert len(set(trainings)) == 3  # two folds, and the final model
    text = (folder / "README.md").read_text()
    assert f"| began with | `{MODEL}`, trained on DRIVE" in text
    assert f"it was trained on {len(trained)} images, and {len(chose)} others chose" in text
    assert "2 models were trained in the same way, and each of the 8 images was scored by" in text
    page = (workspace / "runs" / "my-eyes-finetuned" / "report.html").read_text()
    assert "“predict” uses the final model" in page and "model as it came" in page
    assert "Synthetic images" not in page and "damaged" not in page

    listed = CliRunner().invoke(main, ["models", "list", "--workspace", str(workspace)]).stdout
    assert "my-eyes-finetuned" in listed and MODEL in listed
    monkeypatch.setenv("VESSELFORGE_WORKSPACE", str(workspace))
    predict = ["predict", "my-eyes-finetuned", str(images / "images")]
    done = CliRunner().invoke(main, [*predict, "-o", str(tmp_path / "maps")])
    assert done.exit_code == 0, done.output
    (first, *_) = sorted((tmp_path / "maps").glob("*_probability.png"))
    assert np.ptp(np.asarray(Image.open(first))) > 0

    # Fitted once more, it has seen every image that it would be scored on.
    again = ["finetune", str(folder), str(images), "--workspace", str(workspace), "--dry-run"]
    assert CliRunner().invoke(main, [*again, "--folds", "1"]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sa-unet-drvie", "."], "MODEL: sa-unet-drvie: no such model, by name or as a"),
        ([MODEL, "nowhere"], "nowhere: no such dataset folder"),
        ([MODEL, ".", "--name", MODEL], f"--name: {MODEL} comes with VesselForge"),
        ([MODEL, ".", "--name", "Eyes_1"], "name: "),
        ([MODEL, ".", "--set", "teacher.network=sa-unet"], f"{MODEL} is sa-unet-v2, and the tr"),
    ],
)
def test_what_cannot_be_is_told_before_any_work(
    tmp_path: Path, arguments: list[str], told: str
) -> None:
    write_phantoms(tmp_path, PhantomSettings(train=2, validation=1, test=1, size=64))
    given = [
        argument.replace(".", str(tmp_path)) if argument == "." else argument
        for argument in arguments
    ]
    said = CliRunner().invoke(main, ["finetune", *given, "--workspace", str(tmp_path / "ws")])
    assert said.exit_code == 2 and told in said.stderr, said.output
    assert len(said.stderr.splitlines()) == 1
    assert not list((tmp_path / "ws" / "store").glob("*/*"))
