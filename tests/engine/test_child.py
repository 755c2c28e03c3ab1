"""A stage in its own process: what it says, how it ends, and that nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from progress_heard import HELPERS, Heard

from vesselforge.configs.errors import DataError
from vesselforge.engine.artifacts import Outcome
from vesselforge.engine.processes import child
from vesselforge.engine.processes.reporting import StageCrashed, endings
from vesselforge.engine.progress import Interrupted
from vesselforge.pipeline.executor import produce
from vesselforge.pipeline.graph import Work

pytestmark = pytest.mark.slow


@pytest.fixture
def make(tmp_path: Path, fake_kind: str, heard: Heard) -> Callable[..., Outcome]:
    from fake_stages import FakeSettings

    return lambda **s: produce(tmp_path, Work("fake", fake_kind, FakeSettings(**s)), heard)


def test_a_stage_reports_finishes_and_is_then_reused(
    make: Callable[..., Outcome], heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()
    monkeypatch.setattr(heard, "message", lambda text: threads.add(threading.current_thread()))
    made = make(steps=3)
    assert not made.reused
    assert made.artifact.metrics == {"counted": 3, "attempts": 1}
    assert [u[:3] for u in heard.updates] == [(n, 3, "step") for n in (1, 2, 3)]
    stats = heard.updates[1][3]
    assert 0 < stats.pop("rss_peak_gib") < 10
    assert stats == {"loss": 0.5}  # no bad numbers
    assert threads == {threading.current_thread()}
    monkeypatch.setattr(
        "vesselforge.pipeline.executor.run_in_child", None
    )  # nothing to run a second time
    again = make(steps=3)
    assert again.reused and again.artifact == made.artifact


def test_a_user_error_keeps_type_and_text(make: Callable[..., Outcome]) -> None:
    with pytest.raises(DataError, match=r"^picture.png: is upside down$"):
        make(do="misjudge")


def test_a_bug_shows_its_traceback_and_is_not_worth_another_attempt(
    make: Callable[..., Outcome], heard: Heard
) -> None:
    with pytest.raises(StageCrashed, match="ZeroDivisionError: one by nought") as crash:
        make(do="fall")
    assert not crash.value.transient
    assert "a library prints" in heard.messages
    assert "a library warns" in heard.messages
    assert any("in fall" in line for line in heard.messages)


def test_a_killed_stage_and_a_hiccup_are_worth_another_attempt(
    make: Callable[..., Outcome],
) -> None:
    with pytest.raises(StageCrashed, match="SIGKILL") as killed:
        make(do="die")
    assert killed.value.transient
    with pytest.raises(StageCrashed, match="Input/output error") as hiccup:
        make(do="hiccup")
    assert hiccup.value.transient


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("could not create a primitive"),
    ],
)
def test_memory_that_runs_out_is_said_and_worth_another_attempt(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="1"), endings():  # without a traceback
        raise error
    told = json.loads(capsys.readouterr().out)
    assert (told["event"], told["transient"]) == ("crash", True)
    assert told["text"].startswith("out of memory; close other programs")


def test_a_stage_asked_to_stop_saves_and_goes_on_later(
    make: Callable[..., Outcome], heard: Heard
) -> None:
    heard.stop_after = 2
    with pytest.raises(Interrupted, match="same command"):
        make(steps=40, pause=0.05)
    with pytest.raises(Interrupted):
        make(steps=40, pause=0.05)  # still asked to stop: no new child
    before = len(heard.updates)
    heard.stop_requested, heard.stop_after = False, 10**9
    assert make(steps=40, pause=0.05).artifact.metrics == {"counted": 40, "attempts": 2}
    assert heard.updates[before][0] > 2  # it went on, it did not begin anew


def test_sigterm_to_the_stage_alone_saves_too(
    make: Callable[..., Outcome], heard: Heard, tmp_path: Path
) -> None:
    def stop() -> None:
        os.kill(_pid(tmp_path), signal.SIGTERM)

    timer = threading.Thread(target=stop)
    timer.start()
    with pytest.raises(Interrupted):
        make(steps=400, pause=0.05)
    timer.join()
    [state] = tmp_path.rglob("state.json")
    assert json.loads(state.read_text())[0] > 0


def test_a_stage_that_does_not_stop_is_killed(
    make: Callable[..., Outcome], heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "GRACE_S", 0.2)

    def stop() -> None:
        _pid(tmp_path)
        heard.stop_requested = True

    threading.Thread(target=stop).start()
    with pytest.raises(Interrupted):
        make(do="refuse")
    assert not _alive(_pid(tmp_path))


def test_a_stage_that_waits_for_another_process_says_so_and_stops_when_asked(
    tmp_path: Path, fake_kind: str, heard: Heard
) -> None:
    from fake_stages import FakeSettings

    class Impatient(Heard):
        def message(self, text: str) -> None:
            super().message(text)
            self.stop_requested = True

    work = Work("fake", fake_kind, FakeSettings(steps=100_000, pause=0.01))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(produce, tmp_path, work, heard)
        _pid(tmp_path)  # it has the lock
        second = Impatient()
        with pytest.raises(Interrupted):
            produce(tmp_path, work, second)
        assert second.messages == ["waiting for another process that makes this artifact"]
        assert not second.updates
        assert not first.done()
        heard.stop_requested = True
        with pytest.raises(Interrupted):
            first.result()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_stage_dies_with_its_parent(tmp_path: Path, fake_kind: str) -> None:
    code = (
        "from fake_stages import FakeSettings\n"
        "from vesselforge.engine.progress import Bus\n"
        "from vesselforge.engine.artifacts import Stage\n"
        "from vesselforge.pipeline.executor import produce\n"
        "from vesselforge.pipeline.graph import Work\n"
        "from vesselforge.pipeline.stages import STAGES\n"
        "from pathlib import Path\n"
        "STAGES['fake'] = Stage('fake', 1, 'fake_stages:fake', FakeSettings)\n"
        "work = Work('fake', 'fake', FakeSettings(do='refuse'))\n"
        f"produce(Path({str(tmp_path)!r}), work, Bus())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=HELPERS)
    stage = _pid(tmp_path)
    assert _alive(stage)
    parent.kill()
    parent.wait()
    _until(lambda: not _alive(stage))


def _pid(workspace: Path) -> int:
    """Of the stage that runs there, once it has started to work."""
    found: list[str] = []

    def look() -> bool:
        found[:] = [p.read_text() for p in workspace.rglob("pid")]
        return bool(found and found[0])

    _until(look)
    time.sleep(0.2)
    return int(found[0])


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
