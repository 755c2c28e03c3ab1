"""Children of the standard library's fork server: real ones, and what becomes of them. Linux."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
from forked_acts import act

from vesselforge.engine.processes import forked
from vesselforge.engine.processes.child import environment_of
from vesselforge.engine.processes.forked import Forked, usable

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux alone"),
]

PRELOAD = ["forked_acts", "torch", "scipy.ndimage"]
Start = Callable[..., Forked]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """A child of a server of this test's own that is told to do something."""
    monkeypatch.setattr(forked, "_server", forked._Server())
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    environment = environment_of({"OMP_NUM_THREADS": "2"})

    def begin(do: str, preload: list[str] | None = None, **changes: str) -> Forked:
        assert usable("forked_acts", environment | changes, preload or PRELOAD[:1])
        return Forked(act, do, environment | changes)

    yield begin
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


def told(child: Forked) -> list[str]:
    """Its lines, after it has ended well."""
    lines = child.stdout.read().splitlines()
    assert child.wait(30) == 0
    return lines


def test_children_share_what_was_loaded_and_nothing_else(start: Start) -> None:
    first, second = told(start("look")), told(start("look", LATE="yes", LONG="x" * 100_000))
    server, pid, loaded_by = first[:3]
    assert server == loaded_by == second[0] == second[2] != str(os.getpid())
    assert pid != second[1]
    assert (first[3:], second[3:]) == (["None", "0"], ["yes", "100000"])


def test_what_libraries_read_early_cannot_be_changed(start: Start) -> None:
    told(start("look"))
    environment = environment_of({"OMP_NUM_THREADS": "3"})
    assert not usable("forked_acts", environment, PRELOAD)
    assert usable("another", environment | {"OMP_NUM_THREADS": "2"}, PRELOAD)  # it is there now


def test_without_a_server_others_than_its_modules_start_none(start: Start) -> None:
    assert not usable("another", environment_of(), PRELOAD)


@pytest.mark.parametrize(
    ("do", "status", "error"),
    [("leave", 7, ""), ("fall", 1, "ZeroDivisionError: one by nought\n"), ("die", -9, "")],
)
def test_endings_are_those_of_any_process(start: Start, do: str, status: int, error: str) -> None:
    child = start(do)
    assert child.wait(30) == status == child.poll()
    said = child.stdout.read()
    assert said.endswith(error) if error else said == ""


def test_threads_of_libraries_work_in_children(start: Start) -> None:
    """Those of OpenMP that the server itself had would be missing there, and waited for."""
    for _ in range(2):
        assert told(start("compute", PRELOAD)) == ["2 threads", "done"]


def test_signals_reach_the_child_and_stop_not_the_server(start: Start) -> None:
    child, other = start("wait"), start("wait")
    pid, server = _pids(child)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(server, number)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.2)
    child.terminate()
    assert child.wait(10) == 3  # its own handler's
    other.kill()
    assert other.wait(10) == -signal.SIGKILL
    other.kill()  # no harm
    assert not _alive(pid) and _alive(server)


def test_a_killed_server_takes_its_children_along_and_is_replaced(start: Start) -> None:
    child = start("wait")
    pid, server = _pids(child)
    os.kill(server, signal.SIGKILL)
    assert child.wait(10) == -signal.SIGKILL
    _until(lambda: not _alive(pid))
    assert told(start("look"))[0] != str(server)


SCRIPT = """
import sys
from forked_acts import act
from vesselforge.engine.processes.child import environment_of
from vesselforge.engine.processes.forked import Forked, usable

assert usable("forked_acts", environment_of(), ["forked_acts"])
child = Forked(act, "wait", environment_of())
print(child.stdout.readline(), end="", flush=True)
sys.stdin.readline()
child.kill()
"""


@pytest.mark.parametrize("ended", ["killed", "by itself"])
def test_nothing_is_left_when_the_parent_ends(ended: str, tmp_path: Path) -> None:
    """Here a script without `if __name__ == "__main__"`, which children must not run again."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    helpers = str(Path(__file__).parents[1] / "helpers")
    path = os.pathsep.join([helpers, os.environ.get("PYTHONPATH", "")])
    parent: subprocess.Popen[str] = subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdin is not None and parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert all(map(_alive, pids))
    if ended == "killed":
        parent.kill()
        parent.wait()
    else:
        with parent.stdin:
            parent.stdin.write("\n")
        assert parent.wait(30) == 0
    _until(lambda: not any(map(_alive, pids)))


def _pids(child: Forked) -> tuple[int, int]:
    """Its own and its server's, once it waits."""
    pid, server = child.stdout.readline().split()
    return int(pid), int(server)


def _alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        state: Any = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return bool(state != "Z")
    return False


def _until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
