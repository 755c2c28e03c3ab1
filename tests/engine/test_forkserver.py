"""A server that forks: real processes, and what becomes of them. Linux."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vesselforge.engine.processes.children import environment_of
from vesselforge.engine.processes.forkserver import Forked, KeptServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux alone")

HERE = Path(__file__).parents[1] / "helpers"
PROGRAM = [sys.executable, str(HERE / "forked_acts.py")]
ENVIRONMENT = environment_of({"PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])})
Start = Callable[..., Forked]


@pytest.fixture
def server() -> Iterator[KeptServer]:
    kept = KeptServer(PROGRAM, late={"LATE"})
    yield kept
    kept.close()


@pytest.fixture
def start(server: KeptServer) -> Start:
    """A child that is told to do something."""

    def act(do: str, modules: tuple[str, ...] = (), **changes: str) -> Forked:
        child = server.start(modules, ENVIRONMENT | changes)
        assert child.stdin is not None
        with child.stdin:
            child.stdin.write(do)
        return child

    return act


def told(child: Forked) -> list[str]:
    """Its lines, after it has ended well."""
    assert child.stdout is not None and child.stderr is not None
    lines, errors = child.stdout.read().splitlines(), child.stderr.read()
    assert (child.wait(30), errors) == (0, "")
    return lines


def test_children_share_what_was_imported_and_nothing_else(start: Start) -> None:
    modules = ("forked_module",)
    first, second = told(start("look", modules)), told(start("look", modules, LATE="yes"))
    assert first[0] == "imported"  # by the server, said to the first who wanted it
    (parent, pid, loaded, session, late), (*others, _) = first[1:], second
    assert (loaded, session, late) == ("loaded", pid, "None")
    assert second == [parent, second[1], "loaded", second[1], "yes"]
    assert others[1] != pid and int(parent) != os.getpid()


def test_a_module_that_cannot_be_imported_is_the_childs_to_complain_about(start: Start) -> None:
    assert told(start("look", ("no_such_module",)))[2] == "missing"


@pytest.mark.parametrize(
    ("do", "status", "error"),
    [("leave", 7, ""), ("fall", 1, "ZeroDivisionError: one by nought\n"), ("die", -9, "")],
)
def test_endings_are_those_of_any_process(start: Start, do: str, status: int, error: str) -> None:
    child = start(do)
    assert child.stdout is not None and child.stderr is not None
    assert child.wait(30) == status == child.poll() == child.returncode
    assert child.stderr.read().endswith(error)
    assert child.stdout.read() == ("" if do == "die" else "an exit function\n")


def test_threads_of_libraries_work_in_children(start: Start) -> None:
    """Those of OpenMP that the server itself had would be missing there, and waited for."""
    modules = ("torch", "scipy.ndimage")
    for _ in range(2):
        assert told(start("compute", modules, OMP_NUM_THREADS="2")) == ["2 threads", "done"]


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


def test_a_signal_to_a_child_that_just_ends_disturbs_nobody(start: Start) -> None:
    server = told(start("look"))[0]
    for _ in range(40):
        child = start("leave")
        child.terminate()
        assert child.wait(10) in (7, -signal.SIGTERM)
    assert told(start("look"))[0] == server


def test_a_killed_server_takes_its_children_along_and_is_replaced(start: Start) -> None:
    child = start("wait")
    pid, server = _pids(child)
    os.kill(server, signal.SIGKILL)
    assert child.wait(10) == -signal.SIGKILL
    _until(lambda: not _alive(pid))
    assert told(start("look"))[0] != str(server)


def test_another_environment_is_another_server_and_the_old_one_ends(start: Start) -> None:
    child = start("wait")
    pid, server = _pids(child)
    assert told(start("look", OMP_NUM_THREADS="3"))[0] != str(server)
    assert _alive(pid) and _alive(server)  # while it has a child
    child.terminate()
    assert child.wait(10) == 3
    _until(lambda: not _alive(server))


def test_a_large_environment(start: Start) -> None:
    long = {f"LONG{n}": "x" * 100_000 for n in range(12)}
    assert told(start("look", **long))[3] != ""


@pytest.mark.parametrize("ended", ["killed", "by itself"])
def test_nothing_is_left_when_the_parent_ends(ended: str, tmp_path: Path) -> None:
    code = (
        "import sys, time; from test_forkserver import *\n"
        "child = KeptServer(PROGRAM).start((), ENVIRONMENT)\n"
        "with child.stdin: child.stdin.write('wait')\n"
        "print(child.stdout.readline(), end='', flush=True)\n"
        "sys.stdin.readline()\n"
        "child.kill()\n"
    )
    parent: subprocess.Popen[str] = subprocess.Popen(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
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
        _until(lambda: not any(map(_alive, pids)))
    else:
        with parent.stdin:
            parent.stdin.write("\n")
        assert parent.wait(30) == 0
        assert not any(map(_alive, pids))


def _pids(child: Forked) -> tuple[int, int]:
    """Its own and its server's, once it waits."""
    assert child.stdout is not None
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
