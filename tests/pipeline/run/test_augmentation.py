"""The order of steps, and what each of them sees."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from vesselforge.configs.errors import DataError, WorkspaceError
from vesselforge.configs.load import validate
from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.artifacts import Artifact, Outcome
from vesselforge.engine.sinks.display import Display, shown
from vesselforge.engine.store import Store
from vesselforge.pipeline.executor import Executor, Hand
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.record import RunRecord, model_folder, read_run
from vesselforge.pipeline.run.folds import augment_all
from vesselforge.pipeline.run.run_works import Augmented, kept_rounds
from vesselforge.pipeline.stages import STAGES


class Pretence(Hand):
    """Produces nothing but digests, and writes down what it was asked for."""

    def __init__(self, student_f1: list[float]) -> None:
        self.student_f1 = iter(student_f1)
        self.labelled: dict[str, Any] = {"kept": 9, "rejected": 0, "reasons": {}}
        self.later: dict[str, Any] | None = None
        self.kimg = 3.0
        self.asked: dict[str, Work] = {}

    def start(self, work: Work) -> Outcome:
        assert work.step not in self.asked
        self.asked[work.step] = work
        metrics: dict[str, Any] = {}
        if "real images" in work.step:
            metrics = {"validation": {"f1": next(self.student_f1)}}
        if work.kind == "segmenter.pseudo-label":
            first = self.later is None or work.step == "pseudo-labels"
            metrics = self.labelled if first else self.later or {}
        if work.kind == "generator.train":
            metrics = {"kimg": 4.0, "delivered_kimg": self.kimg}
        content = {"kind": work.kind, "digest": work.digest, "metrics": metrics}
        return Outcome(Artifact(Path(), content), False, 0.0)

    def inputs(self, step: str) -> Mapping[str, Work]:
        return self.asked[step].inputs


def done(config: PipelineConfig, pretence: Pretence, tmp_path: Path) -> Augmented:
    executor = Executor(tmp_path, pretence)
    return augment_all(config, executor, RunRecord(tmp_path, config))


def run(
    tmp_path: Path, student_f1: list[float], **changes: Any
) -> tuple[Pretence, dict[str, Any], Artifact]:
    config = validate(PipelineConfig, {"name": "loop", **changes}, "test")
    pretence = Pretence(student_f1)
    made = done(config, pretence, tmp_path)
    assert not made.failure
    return pretence, read_run(tmp_path, "loop")[1]["artifacts"], made.evaluation


def test_a_run_does_every_step_once_and_shows_the_test_to_the_scores_alone(
    tmp_path: Path,
) -> None:
    pretence, noted, evaluation = run(tmp_path, [0.5])
    kinds = [work.kind for work in pretence.asked.values()]
    others = {"data.subset", "data.phantom", "segmenter.compare"}  # of other flows and sources
    others |= {"segmenter.start", "segmenter.pool"}  # where a training begins with a model; folds
    assert set(kinds) == set(STAGES) - others
    assert kinds.count("segmenter.train") == 3
    seen = {s: [a.digest for a in pretence.inputs(s).values()] for s in pretence.asked}
    assert [s for s in seen if noted["test"][1] in seen[s]] == ["test scores"]
    asked = set(pretence.inputs("test scores"))
    assert asked == {"test", "validation", "teacher", "student", "ensemble"}
    assert noted["evaluation"] == ["segmenter.evaluate", evaluation.digest]
    assert noted["student"][0] == "segmenter.train"
    assert {"generator", "samples", "score", "labelled", "pretrained"} <= set(noted)


def test_students_teach_until_validation_no_longer_rises(tmp_path: Path) -> None:
    iterate = {"rounds": 4, "generator_kimg": 1.0}
    pretence, noted, _ = run(tmp_path, [0.50, 0.60, 0.6005], iterate=iterate)
    names = set(pretence.inputs("test scores"))
    assert names == {"test", "validation", "teacher", "student", "student-2", "ensemble"}
    labels = {n: pretence.inputs(f"pseudo-labels{n}") for n in ("", ", round 2", ", round 3")}
    assert labels[""]["teacher"].digest == noted["teacher"][1]
    assert labels[", round 2"]["teacher"].digest == noted["student"][1]
    assert labels[", round 3"]["teacher"].digest == noted["student-2"][1]
    tuned = pretence.asked["generator, round 2"]
    assert tuned.inputs["start"].digest == noted["generator"][1]
    assert tuned.settings.kimg == 1.0  # type: ignore[attr-defined]
    assert pretence.inputs("generator, round 3")["start"].digest == noted["generator-2"][1]
    assert len({noted[f"samples{n}"][1] for n in ("", "-2", "-3")}) == 3
    assert noted["student-3"][1] not in {a.digest for a in pretence.inputs("ensemble").values()}
    assert "samples, round 4" not in pretence.asked and "student-4" not in noted


def test_a_fine_tuned_generator_starts_from_the_one_before_alone(tmp_path: Path) -> None:
    path = tmp_path / "ffhq.pkl"
    path.write_bytes(b"\x80weights")
    changes: dict[str, Any] = {"generator": {"start_from": str(path)}, "iterate": {"rounds": 2}}
    pretence, _, _ = run(tmp_path, [0.5, 0.6], **changes)
    tuned = pretence.asked["generator, round 2"]
    assert tuned.outside == {} and set(tuned.inputs) == {"images", "start"}
    assert tuned.settings.start_from is None  # type: ignore[attr-defined]


def test_generator_is_kept_when_it_is_not_to_be_tuned(tmp_path: Path) -> None:
    iterate = {"rounds": 2, "generator_kimg": 0}
    pretence, noted, _ = run(tmp_path, [0.5, 0.6], iterate=iterate)
    assert noted["generator"] == noted["generator-2"]
    assert "generator, round 2" not in pretence.asked
    assert noted["samples"] != noted["samples-2"]  # other images all the same


@pytest.mark.parametrize(
    ("f1", "kept"),
    [([], 0), ([0.0], 1), ([0.5, 0.501], 1), ([0.5, 0.5011], 2), ([0.5, 0.4, 0.9], 1)],
)
def test_a_round_is_kept_when_its_student_beats_its_teacher(f1: list[float], kept: int) -> None:
    assert kept_rounds(f1) == kept


NOTHING = {"kept": 0, "rejected": 8, "reasons": {"copies": 3, "confidence": 5}}
MESSAGE = r"all 8 synthetic images were rejected \(mostly: confidence\).*min_confidence"


def test_where_nothing_is_kept_the_teacher_alone_is_scored(tmp_path: Path) -> None:
    config = validate(PipelineConfig, {"name": "none", "iterate": {"rounds": 3}}, "test")
    pretence = Pretence([])
    pretence.labelled = NOTHING
    made = done(config, pretence, tmp_path)
    assert re.search(MESSAGE, made.failure)
    assert "ensemble" not in pretence.asked and "student, synthetic images" not in pretence.asked
    assert set(pretence.inputs("test scores")) == {"test", "validation", "teacher"}
    noted = read_run(tmp_path, "none")[1]["artifacts"]
    assert noted["evaluation"] == ["segmenter.evaluate", made.evaluation.digest]
    assert {"generator", "samples", "score", "labelled"} <= set(noted)
    assert not {"pretrained", "student", "ensemble"} & set(noted)
    run = tmp_path / "runs" / "none"
    assert model_folder(run) == model_folder(run, "teacher")
    assert model_folder(run) == Store(tmp_path).folder(*noted["teacher"])
    with pytest.raises(
        WorkspaceError, match=r"runs/none: this run has no student; it has: teacher"
    ):
        model_folder(run, "student")
    RunRecord(tmp_path, config)
    with pytest.raises(WorkspaceError, match="no model to use yet; `vesselforge run` goes on"):
        model_folder(run)


def test_where_a_later_round_keeps_nothing_the_students_so_far_are_scored(tmp_path: Path) -> None:
    config = validate(PipelineConfig, {"name": "later", "iterate": {"rounds": 3}}, "test")
    pretence = Pretence([0.5])
    pretence.later = NOTHING
    made = done(config, pretence, tmp_path)
    assert re.search(MESSAGE, made.failure) and "samples, round 3" not in pretence.asked
    assert set(pretence.inputs("ensemble")) == {"teacher", "student", "validation"}
    noted = read_run(tmp_path, "later")[1]["artifacts"]
    assert "labelled-2" in noted and "student-2" not in noted


@pytest.mark.parametrize(
    ("source", "kimg", "said"),
    [
        ({"kind": "stylegan2"}, 3.0, ["show no vessels: 3 of 500"]),
        ({"kind": "stylegan2"}, 0.25, ["show no vessels: 3 of 500", "untrained: its weights saw"]),
        ({"kind": "unlabelled", "root": "eyes"}, 3.0, []),
    ],
)
def test_what_a_reader_of_the_scores_has_to_know(
    tmp_path: Path, source: dict[str, Any], kimg: float, said: list[str]
) -> None:
    (tmp_path / "eyes").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "eyes" / "a.png")
    if "root" in source:
        source = source | {"root": tmp_path / "eyes"}
    config = validate(PipelineConfig, {"name": "fog", "source": source}, "test")
    pretence = Pretence([0.5])
    pretence.kimg = kimg
    share = {"in_range": {"all": 0.006, "kept": 0.0}}
    pretence.labelled = {"drawn": 500, "kept": 24, "rejected": 476, "reasons": {}} | share
    log = io.StringIO()
    with shown(Display(Console(file=log))):
        made = done(config, pretence, tmp_path)
    assert len(made.remarks) == len(said)
    for remark, words in zip(made.remarks, said, strict=True):
        assert words in remark and remark in log.getvalue()  # and before the student was trained


def test_filters_are_shown_what_they_ask_for_and_nothing_else(tmp_path: Path) -> None:
    pretence, noted, _ = run(tmp_path, [0.5])
    assert set(pretence.inputs("pseudo-labels")) == {"samples", "teacher", "images"}
    pretence, noted, _ = run(tmp_path / "filters", [0.5], pseudo_label={"real_range": 0.9})
    inputs = pretence.inputs("pseudo-labels")
    assert set(inputs) == {"samples", "teacher", "images"}
    assert inputs["images"].digest == noted["development"][1]
    pretence, noted, _ = run(tmp_path / "scores", [0.5], pseudo_label={"reject_copies": True})
    inputs = pretence.inputs("pseudo-labels")
    assert set(inputs) == {"samples", "teacher", "images", "scores"}
    assert inputs["scores"].digest == noted["score"][1]


def test_every_method_is_an_ensemble_of_the_same_members_and_all_are_scored(
    tmp_path: Path,
) -> None:
    methods = ["mean", "or", "majority"]
    pretence, noted, _ = run(tmp_path, [0.5], ensembles=methods)
    names = ["ensemble", "ensemble-or", "ensemble-majority"]
    for name, method in zip(names, methods, strict=True):
        work = pretence.asked[name]
        assert (work.kind, work.settings.method) == ("segmenter.ensemble", method)  # type: ignore[attr-defined]
        assert set(work.inputs) == {"teacher", "student", "validation"}
        assert noted[name][1] == pretence.inputs("test scores")[name].digest
    assert len({noted[name][1] for name in names}) == 3


def test_device_and_paths_are_no_part_of_the_work(tmp_path: Path) -> None:
    one = run(tmp_path, [0.5], generator={"device": "cpu", "checkpoint_every": 3})[1]
    two = run(tmp_path, [0.5], generator={"device": "auto", "checkpoint_every": 9})[1]
    assert one == two


def test_a_named_file_counts_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "ffhq.pkl"
    with pytest.raises(DataError, match=r"start_from.*no such file"):
        run(tmp_path, [0.5], generator={"start_from": str(path)})
    path.write_bytes(b"\x80weights")
    pretence, _, _ = run(tmp_path, [0.5], generator={"start_from": str(path)})
    assert len(pretence.asked["generator"].outside["start_from"]) == 64


def test_the_record_says_how_a_run_went(tmp_path: Path) -> None:
    config = validate(PipelineConfig, {"name": "r"}, "test")
    record = RunRecord(tmp_path, config)
    artifact = Artifact(Path(), {"kind": "k", "digest": "d", "metrics": {}})
    record.made(Work("one", "k", config), Outcome(artifact, True, 0.1234))
    content = read_run(tmp_path, "r")[1]
    assert content["status"] == "running" and content["finished"] is None
    assert content["steps"] == [
        {"step": "one", "kind": "k", "digest": "d", "reused": True, "seconds": 0.12}
    ]
    with pytest.raises(KeyboardInterrupt), record.watch():
        raise KeyboardInterrupt
    assert read_run(tmp_path, "r")[1]["status"] == "interrupted"
    with pytest.raises(DataError), record.watch():
        raise DataError("bad.png: no")
    content = read_run(tmp_path, str(tmp_path / "runs" / "r"))[1]
    assert (content["status"], content["message"]) == ("failed", "bad.png: no")
    again = validate(PipelineConfig, content["config"], "run.json")
    assert again == config
