"""Real commands in real processes, and what is left of them. Linux: looks at /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
STAGE = "vesselforge.engine.processes.child"
"""In the command line of a process that does a stage; the fork server has `STAGE_server` there."""


class WaitedInVain(AssertionError):
    """Something that had to become true did not."""


def stoppable() -> None:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt here, also where a shell has them ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def environment(home: Path, **more: str) -> dict[str, str]:
    """This one, with an empty HOME and no Prefect settings of the user's."""
    others = ("PREFECT_", "VESSELFORGE_", "XDG_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    home.mkdir(parents=True, exist_ok=True)
    return kept | {"HOME": str(home), "PREFECT_HOME": str(home / "prefect"), "PATH": path} | more


def run(
    command: list[str], env: dict[str, str], cwd: Path, timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """The command's output and exit status."""
    return subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, timeout=timeout
    )


@contextmanager
def running(
    command: list[str], env: dict[str, str], cwd: Path, output: str = "output.txt"
) -> Iterator[subprocess.Popen[str]]:
    """The command in the background, output to a file in cwd; killed with all it has started."""
    with (cwd / output).open("a") as stream:
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdout=stream, stderr=stream, text=True,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        left = family(process.pid)
        process.kill()
        process.wait()
        kill(left)


def kill(pids: Iterable[int]) -> None:
    """SIGKILL to each that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def parents() -> dict[int, int]:
    """Process → its parent, of all that live; those that only wait to be reaped are left out."""
    found: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                found[int(entry.name)] = int(fields[1])
    return found


def family(pid: int) -> set[int]:
    """The process and all below it."""
    of = parents()
    found = {pid} & of.keys()
    while new := {child for child, parent in of.items() if parent in found} - found:
        found |= new
    return found


def living(home: Path) -> set[int]:
    """All processes that were started with this HOME, whoever their parents are now."""
    mark = f"HOME={home}".encode()
    found = set()
    for pid in parents():
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.add(pid)
    return found


def called(pids: Iterable[int], word: str) -> list[int]:
    """Those of the processes in whose command line the word occurs, oldest first."""
    found = []
    for pid in sorted(pids):
        with contextlib.suppress(OSError):
            if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def stages(pids: Iterable[int]) -> list[int]:
    """Those of the processes that do a stage, oldest first; not the server that forks them. It has
    the same command line as they, but its parent has another."""
    pids, of = set(pids), parents()
    forked = set(called(pids, f"{STAGE}_server"))
    servers = {pid for pid in forked if of.get(pid) not in forked}
    return [pid for pid in called(pids, STAGE) if pid not in servers]


def until(true: Callable[[], Any], seconds: float = 120, every: float = 0.01) -> None:
    """Wait for something that must become true; raises WaitedInVain."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise WaitedInVain("waited in vain")
        time.sleep(every)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
