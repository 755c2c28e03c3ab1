"""The log of a stage, with times: one event a line, through stops, kills and failures."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from progress_heard import Heard, read_events

from vesselforge.configs.errors import DataError
from vesselforge.engine.progress import Bus, Interrupted
from vesselforge.engine.sinks import stagelog
from vesselforge.engine.sinks.stagelog import StageLog, log_file
from vesselforge.pipeline.executor import produce
from vesselforge.pipeline.graph import Work

pytestmark = pytest.mark.slow


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return log_file(tmp_path, "fake", "0" * 24)


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stagelog, "PROGRESS_EVERY_S", 0)


def names(file: Path) -> list[str]:
    return [entry["event"] for entry in read_events(file)]


def test_a_stage_is_logged_from_start_to_end_and_reuse_adds_nothing(
    tmp_path: Path, fake_kind: str, heard: Heard, talkative: None
) -> None:
    from fake_stages import FakeSettings

    work = Work("counting", fake_kind, FakeSettings(steps=3))
    made = produce(tmp_path, work, heard)
    file = log_file(tmp_path, fake_kind, made.artifact.digest)
    assert made.artifact.digest == work.digest
    entries = read_events(file)
    assert [e["event"] for e in entries] == ["started", *["progress"] * 3, "message", "done"]
    assert {e["step"] for e in entries} == {"counting"}
    clocks = [datetime.fromisoformat(e["time"]) for e in entries]
    assert clocks == sorted(clocks)
    assert datetime.now(UTC) - clocks[-1] < timedelta(minutes=5)
    second = entries[2]
    assert (second["done"], second["total"], second["unit"]) == (2, 3, "step")
    assert second["pace_s"] is not None and second["left_s"] is not None
    assert second["stats"].keys() == {"loss", "rss_peak_gib"} and second["stats"]["loss"] == 0.5
    assert entries[-1]["done"] == 3 and entries[-1]["seconds"] > 0
    produce(tmp_path, work, heard)
    assert read_events(file) == entries
    assert not list((tmp_path / "store").rglob("logs"))


def test_a_stop_and_the_next_attempt_are_in_one_log(
    tmp_path: Path, fake_kind: str, heard: Heard
) -> None:
    from fake_stages import FakeSettings

    work = Work("counting", fake_kind, FakeSettings(steps=30, pause=0.05))
    file = log_file(tmp_path, fake_kind, work.digest)
    heard.stop_after = 2
    with pytest.raises(Interrupted):
        produce(tmp_path, work, heard)
    with pytest.raises(Interrupted):  # asked to stop before it began: no attempt
        produce(tmp_path, work, heard)
    assert names(file) == ["started", "progress", "stopped"]
    heard.stop_requested, heard.stop_after = False, 10**9
    produce(tmp_path, work, heard)
    assert names(file) == [
        "started",
        "progress",
        "stopped",
        "started",
        "progress",
        "message",
        "done",
    ]
    assert read_events(file)[4]["done"] > 2  # it went on


@pytest.mark.parametrize(
    ("error", "event", "reason"),
    [
        (DataError("eye.png: is empty"), "failed", "eye.png: is empty"),
        (ZeroDivisionError(), "failed", "ZeroDivisionError"),
        (Interrupted("saved"), "stopped", "saved"),
        (KeyboardInterrupt(), "stopped", "KeyboardInterrupt"),
    ],
)
def test_how_it_ended_is_told(file: Path, error: BaseException, event: str, reason: str) -> None:
    bus = Bus(StageLog(file, "s"))
    bus.update(1, 4, "step")
    bus.ended(error)
    last = read_events(file)[-1]
    assert (last["event"], last["reason"], last["done"]) == (event, reason, 1)


def test_progress_is_written_once_in_ten_seconds(file: Path) -> None:
    bus = Bus(StageLog(file, "s"))
    for done in range(1000):
        bus.update(done, 1000)
    assert names(file) == ["progress"]


def test_a_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").write_text("in the way")
    bus = heard.also(StageLog(log_file(tmp_path, "fake", "0" * 24), "s"))
    bus.update(1, 2, "step", loss=0.1)
    bus.message("hello")
    bus.ended(None)
    assert heard.updates == [(1, 2, "step", {"loss": 0.1})]
    assert heard.messages == ["hello"]
    assert caplog.text.count("was not written") == 1


def test_every_line_is_json_of_its_own(file: Path) -> None:
    log = StageLog(file, "with\nnew line")
    log.message("a\nb")
    [line] = file.read_text().splitlines()
    assert json.loads(line)["text"] == "a\nb"
