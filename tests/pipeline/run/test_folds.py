"""A cross-validated run is the runs of its folds, and one piece of work more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vesselforge.cli.main import main
from vesselforge.configs.errors import WorkspaceError
from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.artifacts import MANIFEST, Artifact, Outcome
from vesselforge.engine.files import write_json
from vesselforge.pipeline.executor import Executor, Hand
from vesselforge.pipeline.graph import Work, closure
from vesselforge.pipeline.record import RunRecord, model_folder, read_run
from vesselforge.pipeline.run.folds import augment_all, everything
from vesselforge.pipeline.run.remarks import by_fold, without_repeats
from vesselforge.pipeline.run.run_works import run_works

FOLDS = 3
PHANTOM = {"train": 4, "validation": 2, "test": 3, "size": 64}
METRICS = {
    "segmenter.train": {"validation": {"f1": 0.5}},
    "segmenter.pseudo-label": {"kept": 1},
}


def config(**data: Any) -> PipelineConfig:
    return PipelineConfig.model_validate({"name": "folds", "data": {"phantom": PHANTOM} | data})


def test_a_cross_validation_is_the_union_of_its_folds() -> None:
    whole = everything(config(folds=FOLDS))
    single = [run_works(config(folds=FOLDS, fold=fold)).everything() for fold in range(FOLDS)]
    last = whole[-1]
    assert last.kind == "segmenter.pool"
    assert {w.digest for w in last.inputs.values()} == {works[-1].digest for works in single}
    union = closure(work for works in single for work in works)
    assert closure(whole).keys() == union.keys() | {last.digest}
    assert len({works[-1].digest for works in single}) == FOLDS
    assert everything(config())[-1].digest == run_works(config()).everything()[-1].digest


def test_folds_share_no_training_and_every_step_says_its_fold() -> None:
    works = closure(everything(config(folds=FOLDS))).values()
    trained = [work for work in works if work.kind == "segmenter.train"]
    assert len(trained) == 3 * FOLDS
    steps = [work.step for work in works if work.kind != "segmenter.pool"]
    assert all(", fold " in step for step in steps) and len(set(steps)) == len(steps)


class Pretends(Hand):
    """Stages that only leave a manifest."""

    def __init__(self, workspace: Path, nothing_in: str = "no fold") -> None:
        self.workspace, self.nothing_in, self.kinds = workspace, nothing_in, list[str]()

    def start(self, work: Work) -> Outcome:
        self.kinds.append(work.kind)
        folder = self.workspace / "store" / work.kind / work.digest
        folder.mkdir(parents=True)
        metrics = METRICS.get(work.kind, {})
        if work.kind == "segmenter.pseudo-label" and self.nothing_in in work.step:
            metrics = {"kept": 0, "rejected": 4, "reasons": {}}
        content = {"kind": work.kind, "digest": work.digest, "metrics": metrics}
        content |= {"settings": {}, "inputs": {}, "files": {}}
        write_json(folder / MANIFEST, content)
        return Outcome(Artifact(folder, content), False, 0.5)


def run(workspace: Path, hand: Pretends, **data: Any) -> tuple[Any, dict[str, Any]]:
    settings = config(**data)
    record = RunRecord(workspace, settings)
    made = augment_all(settings, Executor(workspace, hand, record.made), record)
    record.finish("completed")
    return made, read_run(workspace, "folds")[1]


def test_a_run_does_all_folds_and_notes_each_under_its_name(tmp_path: Path) -> None:
    hand = Pretends(tmp_path)
    made, record = run(tmp_path, hand, folds=FOLDS)
    assert made.evaluation.kind == "segmenter.pool" and not made.failure
    assert hand.kinds[: 2 * FOLDS] == ["data.prepare"] * 2 * FOLDS  # bad files show at first
    roles = record["artifacts"]
    assert {role.partition("/")[0] for role in roles} == {
        "evaluation",
        "fold-0",
        "fold-1",
        "fold-2",
    }
    for fold in range(FOLDS):
        assert roles[f"fold-{fold}/evaluation"][0] == "segmenter.evaluate"
    planned = closure(everything(config(folds=FOLDS)))
    assert {step["digest"] for step in record["steps"]} == planned.keys()
    with pytest.raises(WorkspaceError, match="cross-validation, which has models for each fold"):
        model_folder(tmp_path / "runs" / "folds")


def test_a_fold_without_a_student_is_named(tmp_path: Path) -> None:
    made, _ = run(tmp_path, Pretends(tmp_path, "fold 1"), folds=FOLDS)
    assert made.failure.startswith("fold 1: pseudo_label: all 4 synthetic images were rejected")


def test_folds_that_fail_alike_are_named_together(tmp_path: Path) -> None:
    made, _ = run(tmp_path, Pretends(tmp_path, "pseudo-labels"), folds=FOLDS)
    assert made.failure.startswith("fold 0 (and like it in folds 1, 2): pseudo_label: all 4 synth")
    assert made.failure.count("labels.csv") == 1


def test_what_is_said_of_several_folds_is_said_once() -> None:
    said = {
        "0": ["No vessels: 3 of 24 pass.", "Its weights saw 0.1 kimg."],
        "1": ["No vessels: 5 of 24 pass."],
        "2": ["Hardly any: 3 of 24 pass.", "Its weights saw 0.1 kimg."],
        "3": ["No vessels: 3 of 24 pass."],
        "4": ["No vessels: 12 of 1,024 pass."],
    }
    assert by_fold(said) == [
        "fold 0 (and like it in folds 1, 3, 4): No vessels: 3 of 24 pass.",
        "fold 0 (and like it in fold 2): Its weights saw 0.1 kimg.",
        "fold 2: Hardly any: 3 of 24 pass.",
    ]
    assert by_fold({"0": [], "1": ["see /a/0f/x.csv"], "2": ["see /a/3e/x.csv"]}) == [
        "fold 1 (and like it in fold 2): see /a/0f/x.csv"
    ]


def test_warnings_of_one_dataset_are_told_once() -> None:
    line = "eyes: {}: found {}; `vesselforge data check paired{}` lists all"
    lines = [line.format("1 warning", n, f" --set fold={n}" if n else "") for n in range(3)]
    lines.append(line.format("2 warnings, the first", 1, ""))
    assert without_repeats(lines) == [f"{lines[0]} (and 2 like it)", lines[3]]


def test_a_dry_run_shows_all_folds(tmp_path: Path) -> None:
    sizes = [f"--set=data.phantom.{name}={value}" for name, value in PHANTOM.items()]
    where = ["--workspace", str(tmp_path), f"--set=data.folds={FOLDS}", *sizes]
    result = CliRunner().invoke(main, ["run", "quickstart", "--dry-run", "--json", *where])
    assert result.exit_code == 0, result.output
    assert '"segmenter.pool"' in result.output and f'"in all": {3 * FOLDS}' in result.output
