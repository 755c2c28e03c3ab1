"""The scripts and the notebook in examples/, run as they are, or as small as it gets."""

from __future__ import annotations

import asyncio
import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import REPOSITORY
from typer.testing import Result

import vesselforge as vf
from vesselforge.configs.sources import SOURCES
from vesselforge.engine.processes.child import JOB, Job
from vesselforge.engine.progress import Progress
from vesselforge.pipeline.sources import KINDS
from vesselforge.pipeline.stages import STAGES

pytestmark = pytest.mark.slow
EXAMPLES = REPOSITORY / "examples"
TINY = {"steps": 2, "batch": 2, "crop": 32, "validate_every": 2}
SHORT: dict[str, Any] = {
    "teacher": TINY,
    "pretrain": {"steps": 2},
    "finetune": {"steps": 2, "validate_every": 2},
    "score": {"real_views": 4, "kid_subset_size": 2},
    "sample": {"count": 3},
    "evaluate": {"bootstrap": 100},
}


@pytest.fixture
def here(
    typed: Callable[..., Result], server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An empty working folder; stages run in this process, told what to do as a child is."""

    def run_in_child(job: Job, progress: Progress, *_: object) -> None:
        JOB.validate_json(JOB.dump_json(job)).run(progress)

    monkeypatch.setattr("vesselforge.pipeline.executor.run_in_child", run_in_child)
    monkeypatch.setenv("PREFECT_API_URL", server)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return tmp_path


def example(name: str, as_main: bool = False) -> dict[str, Any]:
    """Run a script; returns its names."""
    name_of_run = "__main__" if as_main else name
    return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name=name_of_run)


def test_sampling(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("sampling", as_main=True)
    said = capsys.readouterr().out
    assert "images (8, 64, 64, 3), masks (8, 64, 64)" in said
    assert "images [8, 3, 64, 64], masks [8, 1, 64, 64]" in said
    assert len([*(here / "drawn").glob("seed*.png")]) == 16


def test_the_notebook(here: Path) -> None:
    notebook = json.loads((EXAMPLES / "tour.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 4)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells)
    (here / "tour.py").write_text("\n".join("".join(cell["source"]) for cell in cells))
    names = runpy.run_path(str(here / "tour.py"))
    assert names["scores"]["f1"] > 0.6
    assert names["masks"].shape == (8, 64, 64) and list(names["image"].shape) == [3, 64, 64]


def test_own_folder_to_model_is_what_the_command_line_does(
    here: Path, typed: Callable[..., Result], server: str
) -> None:
    names = example("own_folder_to_model")
    folder = names["write_phantoms"](here / "my-eyes", count=5, size=64)
    changes = SHORT | {"source": {"kind": "phantom", "size": 64}}
    result = names["main"](folder, changes)
    assert result.scores.keys() == {"teacher", "student", "ensemble (mean)"}
    assert result.chosen in ("teacher", "student", "ensemble")
    assert (here / "vessels.png").is_file() and "</html>" in result.report.read_text()

    config = result.folder / "config.yaml"
    words = ["vesselforge", "run", str(config), "--workspace", str(here / "workspace")]
    done = typed([*words, "--server", server, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["metrics"] == result.metrics and told["run"] == str(result.folder)

    async def notebook() -> vf.RunResult:  # whose event loop runs while its cells do
        return names["main"](folder, changes)

    assert asyncio.run(notebook()) == result
    steps = json.loads((result.folder / "run.json").read_text())["steps"]
    assert len(steps) > 5 and all(step["reused"] for step in steps)


def test_ratio_study(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    phantoms = {"train": 3, "validation": 2, "test": 2, "size": 64}
    changes = {
        "data": {"phantom": phantoms},
        "sources.phantoms.size": 64,
        "arms": {"counts": [0, 2], "orders": ["mixed"], "seeds": [0]},
        "synthetic.pool": 3,
        "statistics.bootstrap": 300,
        "execution.workers": 1,
    }
    changes |= {k: v for k, v in SHORT.items() if k not in ("sample", "pretrain")}
    result = example("ratio_study")["main"](changes)
    assert result.failed == [] and len(result.results.arms) == 2
    said = capsys.readouterr().out
    assert result.headline in said and "real + 2" in said and result.report.is_file()


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What an example registers is not known in other tests."""
    before = [(table, dict(table)) for table in (SOURCES, KINDS, STAGES)]
    yield
    for table, content in before:
        table.clear()
        table.update(content)
    for config in (vf.PipelineConfig, vf.StudyConfig):
        config.model_rebuild(force=True)


def test_custom_source(here: Path, forgotten: None, capsys: pytest.CaptureFixture[str]) -> None:
    example("custom_source", as_main=True)
    assert "F1: {'teacher': " in capsys.readouterr().out
    config = yaml.safe_load((here / "workspace/runs/custom-source/config.yaml").read_text())
    assert (config["source"]["kind"], config["source"]["waves"]) == ("waves", 8)
    (drawn,) = (here / "workspace/store/waves.draw").iterdir()
    assert len([*drawn.glob("masks/*.png")]) == 8
