"""The Prefect flow around the steps: states, retries, artifacts, the record."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.states import Cancelling

from vesselforge.configs.errors import DataError, UserError, WorkspaceError
from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.artifacts import MANIFEST, Artifact, Outcome
from vesselforge.engine.files import write_json
from vesselforge.engine.processes.reporting import StageCrashed
from vesselforge.engine.progress import Bus, Interrupted
from vesselforge.flows import notes
from vesselforge.flows.states import result_of
from vesselforge.pipeline import executor
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.record import read_run
from vesselforge.pipeline.stages import STAGES

pytestmark = pytest.mark.slow

METRICS = {
    "segmenter.train": {"validation": {"f1": 0.5}},
    "segmenter.pseudo-label": {"kept": 1},
    "segmenter.evaluate": {"images": 0, "models": {}, "observers": {}, "note": "pretended"},
}
Produce = Callable[..., Outcome]


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch, prefect_api: None) -> list[str]:
    """Stages that only leave a manifest; the kinds that were asked for, in order."""
    asked: list[str] = []

    def produce(workspace: Path, work: Work, progress: Any, *_: Any) -> Outcome:
        kind = work.kind
        asked.append(kind)
        progress.started()
        progress.update(1, 1, "step")
        folder = workspace / "store" / kind / f"{len(asked):024d}"
        folder.mkdir(parents=True)
        content = {"kind": kind, "digest": folder.name, "metrics": METRICS.get(kind, {})}
        content |= {"settings": {}, "inputs": {}, "files": {}}
        write_json(folder / MANIFEST, content)
        return Outcome(Artifact(folder, content), False, 0.5)

    monkeypatch.setattr("vesselforge.pipeline.executor.produce", produce)
    monkeypatch.setattr(
        "vesselforge.flows.run.report_on", lambda folder, store: folder / "report.html"
    )
    return asked


def fail(
    monkeypatch: pytest.MonkeyPatch, kind: str, errors: list[Exception], asked: list[str]
) -> None:
    """Let the stage raise these, one an attempt, before it goes well."""
    import vesselforge.flows.tasks

    well = executor.produce

    def produce(workspace: Path, work: Work, progress: Any, *rest: Any) -> Outcome:
        if work.kind == kind and errors:
            asked.append(kind)
            progress.started()
            raise errors.pop(0)
        return well(workspace, work, progress, *rest)

    monkeypatch.setattr(executor, "produce", produce)
    monkeypatch.setattr(vesselforge.flows.tasks.task_of(kind), "retry_delay_seconds", 0)


def run(tmp_path: Path, **parameters: Any) -> Any:
    from vesselforge.flows.run import augmentation_pipeline

    config = PipelineConfig.model_validate({"name": "pretended"})
    state: Any = augmentation_pipeline(
        config, workspace=str(tmp_path), return_state=True, **parameters
    )
    return state


def test_every_step_is_a_task_and_the_record_tells(tmp_path: Path, pretend: list[str]) -> None:
    state = run(tmp_path)
    assert state.is_completed(), state.message
    made = state.result()
    assert made["report"] == str(tmp_path / "runs" / "pretended" / "report.html")
    assert json.dumps(made)
    others = {"data.subset", "data.phantom", "segmenter.compare"}
    others |= {"segmenter.start", "segmenter.pool"}
    assert set(pretend) == set(STAGES) - others
    record = read_run(tmp_path, "pretended")[1]
    assert record["status"] == "completed"
    assert [s["kind"] for s in record["steps"]] == pretend
    assert record["seconds"] is not None


def test_overrides_change_single_settings(tmp_path: Path, pretend: list[str]) -> None:
    assert run(tmp_path, overrides=["name=other", "sample.count=5"]).is_completed()
    config = read_run(tmp_path, "other")[1]["config"]
    assert config["sample"]["count"] == 5
    assert config["sample"]["psi"] == 0.7
    state = run(tmp_path, overrides=["sample.cuont=5"])
    assert state.name == "BadInput" and "did you mean `count`?" in state.message


def test_bad_input_fails_at_once_and_without_a_traceback(
    tmp_path: Path, pretend: list[str], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    fail(monkeypatch, "generator.train", [DataError("eye.png: is empty")] * 3, pretend)
    state = run(tmp_path)
    assert (state.name, state.message) == ("BadInput", "eye.png: is empty")
    assert pretend.count("generator.train") == 1
    assert "Traceback" not in caplog.text
    assert "ERROR" not in {record.levelname for record in caplog.records}
    record = read_run(tmp_path, "pretended")[1]
    assert (record["status"], record["message"]) == ("failed", "eye.png: is empty")


def test_where_every_sample_is_rejected_the_run_is_reported_and_has_failed(
    tmp_path: Path, pretend: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = {"drawn": 40, "kept": 0, "rejected": 40, "reasons": {"confidence": 40}}
    monkeypatch.setitem(METRICS, "segmenter.pseudo-label", nothing)
    state = run(tmp_path)
    page = tmp_path / "runs" / "pretended" / "report.html"
    assert state.is_failed() and state.name == "NoSamples"
    assert state.message.startswith("pseudo_label: all 40 synthetic images were rejected (mostly")
    assert state.message.endswith(f"report: {page}")
    assert "segmenter.evaluate" in pretend and "segmenter.ensemble" not in pretend
    assert pretend.count("segmenter.train") == 1  # the teacher
    record = read_run(tmp_path, "pretended")[1]
    assert record["status"] == "partly failed" and "evaluation" in record["artifacts"]
    assert state.message.startswith(record["message"])
    with pytest.raises(UserError, match="all 40 synthetic images"):
        result_of(state)  # which the command line ends with, and exit status 2


def test_a_killed_stage_is_tried_again_and_the_log_says_so(
    tmp_path: Path, pretend: list[str], monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    errors = [StageCrashed("killed"), OSError(5, "Input/output error")]
    fail(monkeypatch, "generator.sample", errors, pretend)
    assert run(tmp_path).is_completed()
    assert pretend.count("generator.sample") == 3
    said = [r.getMessage().split() for r in caplog.records if r.name == "vesselforge"]
    assert [" ".join(words[1:]) for words in said if words[0] == "samples"] == [
        "started",
        "failed killed",
        "started attempt 2",
        "failed [Errno 5] Input/output error",
        "started attempt 3",
        "done in 0.5 s",
    ]


def test_but_not_for_ever_and_a_bug_not_at_all(
    tmp_path: Path, pretend: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, "generator.sample", [StageCrashed("killed")] * 9, pretend)
    state = run(tmp_path)
    assert (state.name, state.message) == ("StageCrashed", "killed")
    assert pretend.count("generator.sample") == 3
    fail(monkeypatch, "data.prepare", [StageCrashed("a bug", transient=False)] * 9, pretend)
    before = pretend.count("data.prepare")
    assert run(tmp_path).is_failed()
    assert pretend.count("data.prepare") == before + 1


def test_a_full_disk_is_not_tried_again(
    tmp_path: Path, pretend: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, "data.prepare", [WorkspaceError("no space left")] * 3, pretend)
    assert run(tmp_path).name == "BadInput"
    assert pretend.count("data.prepare") == 1


def test_a_stage_whose_time_is_over_has_failed_and_is_not_tried_again(
    tmp_path: Path, pretend: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    well = executor.produce

    def produce(workspace: Path, work: Work, p: Any, *rest: Any) -> Any:
        while work.kind == "generator.train" and not p.stop_requested:
            pretend.append("waited")
        if p.stop_requested:
            raise Interrupted("saved")
        return well(workspace, work, p, *rest)

    monkeypatch.setattr(executor, "produce", produce)
    state = run(tmp_path, overrides=["stage_timeout=0.2"])
    assert state.name == "TimedOut" and state.is_failed()
    assert state.message == "generator was stopped after 0.2 s, its limit (stage_timeout)"
    assert "generator.sample" not in pretend
    record = read_run(tmp_path, "pretended")[1]
    assert (record["status"], record["message"]) == ("failed", state.message)


def test_a_run_of_ones_own_that_is_cancelled_on_the_server_stops(
    tmp_path: Path, pretend: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import vesselforge.engine.sinks.display
    import vesselforge.flows.run

    def produce(workspace: Path, work: Work, p: Any, *_: Any) -> Any:
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(runtime.flow_run.id, Cancelling())
        deadline = time.monotonic() + 60
        while not p.stop_requested and time.monotonic() < deadline:
            time.sleep(0.02)
        raise Interrupted("saved" if p.stop_requested else "was not asked")

    monkeypatch.setattr(executor, "produce", produce)
    monkeypatch.setattr(vesselforge.flows.run, "LOOK_EVERY_S", 0.1)
    state = run(tmp_path)
    assert state.is_cancelled() and state.message == "saved"
    assert (
        not vesselforge.engine.sinks.display.current().stop_requested
    )  # the next run is another one


def test_an_interruption_is_no_failure(
    tmp_path: Path, pretend: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, "segmenter.train", [Interrupted("the same command goes on")], pretend)
    state = run(tmp_path)
    assert state.is_cancelled()
    record = read_run(tmp_path, "pretended")[1]
    assert (record["status"], record["message"]) == ("interrupted", "the same command goes on")


def test_a_stage_that_takes_its_time_is_seen_on_prefects_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, published = [100.0], []

    def create(percent: float, key: str, description: str) -> str:
        published.append((percent, key, description))
        return "id"

    def update(artifact: str, percent: float, description: str) -> None:
        published.append((percent, artifact, description))

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(notes, "create_progress_artifact", create)
    monkeypatch.setattr(notes, "update_progress_artifact", update)
    page = notes.ProgressPage("the teacher")
    progress = Bus(page)
    for done in range(0, 201, 20):
        progress.update(done, 400, "step", loss=0.5)
        now[0] += 2
    progress.ended(None)
    assert published == [
        (25, "progress-the-teacher", "the teacher: 100/400 step  loss 0.5  100 ms/step  0:30 left"),
        (50, "id", "the teacher: 200/400 step  loss 0.5  100 ms/step  0:20 left"),
        (100, "id", "the teacher: done"),
    ]
