"""What asks a run to stop besides Ctrl-C: the end of a stage's time, and of its terminal."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from progress_heard import Heard

from vesselforge.configs.load import load
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.study import StudyConfig
from vesselforge.engine.processes.stopping import StageTimedOut, timed
from vesselforge.engine.progress import Interrupted
from vesselforge.pipeline.executor import produce
from vesselforge.pipeline.graph import Work

pytestmark = pytest.mark.slow


def test_a_stage_whose_time_is_over_saves_and_goes_on_later(
    tmp_path: Path, fake_kind: str, heard: Heard
) -> None:
    from fake_stages import FakeSettings

    settings = FakeSettings(steps=160, pause=0.05)  # 8 s: a busy machine stops it in time, too
    work = Work("teacher", fake_kind, settings)
    with (
        pytest.raises(StageTimedOut, match=r"teacher was stopped after 1\.5 s") as stopped,
        timed(heard, 1.5, "teacher") as progress,
    ):
        produce(tmp_path, work, progress)
    assert not stopped.value.transient
    reached = len(heard.updates)  # none, where the time was over before the child had begun
    with timed(heard, None, "teacher") as progress:
        made = produce(tmp_path, work, progress)
    assert made.artifact.metrics["counted"] == 160
    assert heard.updates[reached][0] == reached + 1 or reached == 0


def test_a_user_who_stops_a_stage_in_time_is_not_told_of_a_time_out(heard: Heard) -> None:
    with pytest.raises(Interrupted), timed(heard, 3600, "teacher") as progress:
        assert not progress.stop_requested
        heard.stop_requested = True
        assert progress.stop_requested
        raise Interrupted


@pytest.mark.parametrize("model", [PipelineConfig, StudyConfig])
def test_both_flows_take_a_time_limit(model: type[PipelineConfig] | type[StudyConfig]) -> None:
    name = "quickstart" if model is PipelineConfig else "compare-quickstart"
    assert load(model, name, ["stage_timeout=90"]).stage_timeout == 90
    with pytest.raises(Exception, match="stage_timeout"):
        load(model, name, ["stage_timeout=0"])


RUN = """
import sys, time
from vesselforge.cli.verbs import new_display
display = new_display()
print(type(display).__name__, flush=True)
with display.listening():
    progress = display.begin("teacher")
    print("ready", flush=True)
    for step in range(2000):
        progress.update(step, 2000, "step")
        display.say("still here")
        if display.stop_requested:
            open(sys.argv[1], "w").write("saved")
            break
        time.sleep(0.01)
    print("nobody reads this", flush=True)
"""


@pytest.mark.parametrize("nohup", [False, True])
def test_a_closed_terminal_is_a_request_to_stop_unless_under_nohup(
    nohup: bool, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    master, terminal = pty.openpty()
    prefix = ["nohup"] if nohup else []
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", RUN, str(saved)],
        stdin=terminal, stdout=terminal, stderr=terminal, cwd=tmp_path, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # tests under nohup
    )  # fmt: skip
    os.close(terminal)
    output = tmp_path / "nohup.out"
    said = b""
    while b"ready" not in said:
        if nohup:
            time.sleep(0.02)
            said = output.read_bytes() if output.exists() else b""
        else:
            said += os.read(master, 4096)
    os.kill(process.pid, signal.SIGHUP)
    os.close(master)
    if nohup:
        assert process.poll() is None
        process.terminate()
    assert process.wait(60) == 0
    assert saved.read_text() == "saved"
