"""What a run says: a line for every change of a step's state, and now and then how far it is."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from vesselforge.configs.errors import DataError
from vesselforge.engine.artifacts import Artifact, Outcome
from vesselforge.engine.processes.reporting import StageCrashed
from vesselforge.engine.progress import Bus, Interrupted, Sink, Standing
from vesselforge.engine.sinks.display import Display

ARTIFACT = Artifact(Path("nowhere"), {"kind": "k", "digest": "d", "metrics": {"images": 12}})


def plain() -> tuple[Display, Callable[[], str]]:
    stream = io.StringIO()
    return Display(Console(file=stream, width=200)), stream.getvalue


def rich() -> tuple[Display, Callable[[], str]]:
    stream = io.StringIO()
    console = Console(file=stream, width=200, force_terminal=True, color_system=None)
    return Display(console), stream.getvalue


@pytest.fixture(params=["log", "plain", "rich"])
def display(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> tuple[Display, Callable[[], str]]:
    """One of the three, and what it has said."""
    if request.param == "log":
        caplog.set_level(logging.INFO, "vesselforge")
        return Display(), lambda: caplog.text
    return plain() if request.param == "plain" else rich()


def states(text: str, step: str) -> list[str]:
    """What the lines of a step say, without log prefixes, control codes and live bars."""
    lines = [line.replace("\x1b[2K", "") for line in text.splitlines()]
    found = [line[line.index(step) + len(step) :].split() for line in lines if step in line]
    return [" ".join(words) for words in found if "0%" not in words]


def test_every_change_of_state_is_one_line(display: tuple[Display, Callable[[], str]]) -> None:
    shown, said = display
    progress = shown.begin("teacher")
    progress.started()
    progress.update(1, 4, "step")
    shown.end("teacher", Outcome(ARTIFACT, False, 252))
    shown.begin("development")
    shown.end("development", Outcome(ARTIFACT, True, 0))
    failures: list[BaseException] = [
        StageCrashed("killed"),
        DataError("eye.png: is empty"),
        Interrupted("saved"),
        KeyboardInterrupt(),
    ]
    for attempt, failure in enumerate(failures, start=1):
        shown.begin("student", attempt).started()
        shown.failed("student", failure)
    shown.close()
    assert states(said(), "teacher") == ["started", "done in 4:12 images 12"]
    assert states(said(), "development") == ["reused images 12"]
    assert states(said(), "student") == [
        "started",
        "failed killed",
        "started attempt 2",
        "failed",  # why ends the run, which says it
        "started attempt 3",
        "stopped",
        "started attempt 4",
        "stopped",
    ]


def test_a_log_hears_of_progress_once_a_while(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "vesselforge")
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    shown = Display()
    teacher, student = shown.begin("teacher"), shown.begin("student")
    for second in range(1, 151):
        now[0] += 1
        teacher.update(second, 300, "step", loss=0.25, rss_peak_gib=1.5)
        student.update(second, 1000, "step")
    lines = [r.getMessage() for r in caplog.records]
    assert len(lines) == 4
    assert lines[0] == ("  teacher  20%  60/300 step  loss 0.25  1.5 GiB  1.0 s/step  4:00 left")
    assert sum("teacher" in line for line in lines) == 2


def test_pace_and_time_left_count_from_where_an_attempt_began(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [50.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    seen: list[Standing] = []
    sink = Sink()
    monkeypatch.setattr(sink, "show", seen.append)
    bus = Bus(sink)
    bus.update(400, 1000, "step")
    now[0] += 100
    bus.update(600, 1000, "step")
    bus.update(300, 1000, "step")  # a training that went back
    bus.update(0, 0)
    first, later, back, nothing = seen
    assert (first.pace, first.left, first.share) == (None, None, 0.4)
    assert (later.pace, later.left) == (0.5, 200)
    assert back.left is None
    assert nothing.share == 1
