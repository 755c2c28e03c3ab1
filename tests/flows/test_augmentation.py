"""The order of steps, what each of them sees, and the loop in which students become teachers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from configs.errors import DataError
from configs.load import validate
from configs.settings import PipelineConfig
from data.store import Artifact
from flows.augmentation import augment
from flows.executor import AtOnce, Executor
from flows.runs import RunRecord, read_run
from flows.stages import Outcome
from pipeline.graph import Work
from pipeline.run import run_works
from pipeline.stages import STAGES


class Pretence(AtOnce):
    """Produces nothing but digests, and writes down what it was asked for."""

    def __init__(self, student_f1: list[float]) -> None:
        self.student_f1 = iter(student_f1)
        self.labelled: dict[str, Any] = {"kept": 9, "rejected": 0, "reasons": {}}
        self.asked: dict[str, Work] = {}

    def start(self, work: Work, inputs: Mapping[str, Artifact]) -> Outcome:
        assert work.step not in self.asked
        assert {n: a.digest for n, a in inputs.items()} == {
            n: w.digest for n, w in work.inputs.items()
        }
        self.asked[work.step] = work
        metrics: dict[str, Any] = {}
        if "real images" in work.step:
            metrics = {"validation": {"f1": next(self.student_f1)}}
        if work.kind == "segmenter.pseudo-label":
            metrics = self.labelled
        content = {"kind": work.kind, "digest": work.digest, "metrics": metrics}
        return Outcome(Artifact(Path(), content), False, 0.0)

    def inputs(self, step: str) -> Mapping[str, Work]:
        return self.asked[step].inputs


def done(config: PipelineConfig, pretence: Pretence, tmp_path: Path) -> Artifact:
    executor = Executor(tmp_path, pretence)
    return augment(run_works(config), executor, RunRecord(tmp_path, config))


def run(
    tmp_path: Path, student_f1: list[float], **changes: Any
) -> tuple[Pretence, dict[str, Any], Artifact]:
    config = validate(PipelineConfig, {"name": "loop", **changes}, "test")
    pretence = Pretence(student_f1)
    evaluation = done(config, pretence, tmp_path)
    return pretence, read_run(tmp_path, "loop")[1]["artifacts"], evaluation


def test_one_round_does_every_step_once_and_shows_the_test_to_the_scores_alone(
    tmp_path: Path,
) -> None:
    pretence, noted, evaluation = run(tmp_path, [0.5])
    kinds = [work.kind for work in pretence.asked.values()]
    others = {"data.subset", "data.phantom", "segmenter.compare"}  # of other flows and sources
    assert set(kinds) == set(STAGES) - others
    assert kinds.count("segmenter.train") == 3
    seen = {s: [a.digest for a in pretence.inputs(s).values()] for s in pretence.asked}
    assert [s for s in seen if noted["test"][1] in seen[s]] == ["test scores"]
    asked = set(pretence.inputs("test scores"))
    assert asked == {"test", "validation", "teacher", "student", "ensemble"}
    assert noted["evaluation"] == ["segmenter.evaluate", evaluation.digest]
    [round_] = noted["rounds"]
    assert round_["kept"] is True and round_["student"][0] == "segmenter.train"
    assert {"generator", "samples", "score", "labelled", "pretrained"} <= set(round_)


def test_students_teach_until_validation_no_longer_rises(tmp_path: Path) -> None:
    iterate = {"rounds": 4, "min_gain": 0.01, "generator_kimg": 1.0}
    pretence, noted, _ = run(tmp_path, [0.50, 0.60, 0.605], iterate=iterate)
    assert [r["kept"] for r in noted["rounds"]] == [True, True, False]
    names = set(pretence.inputs("test scores"))
    assert names == {"test", "validation", "teacher", "student-1", "student-2", "ensemble"}
    first, second, third = noted["rounds"]
    labels = {n: pretence.inputs(f"pseudo-labels{n}") for n in ("", ", round 2", ", round 3")}
    assert labels[""]["teacher"].digest == noted["teacher"][1]
    assert labels[", round 2"]["teacher"].digest == first["student"][1]
    assert labels[", round 3"]["teacher"].digest == second["student"][1]
    tuned = pretence.asked["generator, round 2"]
    assert tuned.inputs["start"].digest == first["generator"][1]
    assert tuned.settings.kimg == 1.0  # type: ignore[attr-defined]
    assert pretence.inputs("generator, round 3")["start"].digest == second["generator"][1]
    assert len({r["samples"][1] for r in noted["rounds"]}) == 3
    assert third["student"][1] not in {a.digest for a in pretence.inputs("ensemble").values()}


def test_a_pool_of_which_nothing_is_kept_ends_the_run(tmp_path: Path) -> None:
    config = validate(PipelineConfig, {"name": "none"}, "test")
    pretence = Pretence([0.5])
    pretence.labelled = {"kept": 0, "rejected": 8, "reasons": {"overlap": 3, "confidence": 5}}
    message = r"all 8 synthetic images were rejected \(mostly: confidence\).*min_confidence"
    with pytest.raises(DataError, match=message):
        done(config, pretence, tmp_path)
    assert "student, synthetic images" not in pretence.asked
    assert "pseudo-labels" in pretence.asked


def test_filters_are_shown_what_they_ask_for_and_nothing_else(tmp_path: Path) -> None:
    pretence, noted, _ = run(tmp_path, [0.5])
    assert set(pretence.inputs("pseudo-labels")) == {"samples", "teacher"}
    pretence, noted, _ = run(tmp_path / "filters", [0.5], pseudo_label={"max_overlap": 0.8})
    inputs = pretence.inputs("pseudo-labels")
    assert set(inputs) == {"samples", "teacher", "images"}
    assert inputs["images"].digest == noted["development"][1]
    pretence, noted, _ = run(tmp_path / "scores", [0.5], pseudo_label={"reject_copies": True})
    inputs = pretence.inputs("pseudo-labels")
    assert set(inputs) == {"samples", "teacher", "scores"}
    assert inputs["scores"].digest == noted["rounds"][0]["score"][1]


def test_generator_is_kept_when_it_is_not_to_be_tuned(tmp_path: Path) -> None:
    iterate = {"rounds": 2, "generator_kimg": 0}
    pretence, noted, _ = run(tmp_path, [0.5, 0.6], iterate=iterate)
    first, second = noted["rounds"]
    assert first["generator"] == second["generator"]
    assert "generator, round 2" not in pretence.asked
    assert first["samples"] != second["samples"]  # other images all the same


def test_every_method_is_an_ensemble_of_the_same_members_and_all_are_scored(
    tmp_path: Path,
) -> None:
    methods = ["weighted", "or", "stacked"]
    pretence, noted, _ = run(tmp_path, [0.5], ensembles=methods)
    names = ["ensemble", "ensemble-or", "ensemble-stacked"]
    for name, method in zip(names, methods, strict=True):
        work = pretence.asked[name]
        assert (work.kind, work.settings.method) == ("segmenter.ensemble", method)  # type: ignore[attr-defined]
        assert set(work.inputs) == {"teacher", "student", "validation"}
        assert noted[name][1] == pretence.inputs("test scores")[name].digest
    assert len({noted[name][1] for name in names}) == 3


def test_a_first_student_is_kept_however_bad(tmp_path: Path) -> None:
    _, noted, _ = run(tmp_path, [0.0])
    assert noted["rounds"][0]["kept"] is True


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
    record.step("one", Outcome(artifact, True, 0.1234))
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
