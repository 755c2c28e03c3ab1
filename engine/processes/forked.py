"""Children by the fork server of `multiprocessing`, which has loaded their modules once.

PyTorch and what stands on it take seconds to import, which a run of a dozen short stages in fresh
processes would pay a dozen times.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

CHILD_SERVER = "vesselforge.engine.processes.child_server"
EARLY = ("GOMP_", "KMP_", "LD_", "MALLOC_", "MKL_", "OMP_", "OPENBLAS_", "PYTORCH_", "TORCH_")
"""Variables of these names are read when libraries are loaded: the server has its own for good."""
SERVER_DIED = 255
"""The exit status that `multiprocessing` makes up then."""


class Forked:
    """A child of the server, as `subprocess.Popen` shows a child of one's own."""

    def __init__(
        self, work: Callable[[Any], None], argument: Any, environment: Mapping[str, str]
    ) -> None:
        """`work` is called with the argument, which is pickled; see `usable` before."""
        said, theirs = os.pipe()
        self.stdout = os.fdopen(said, errors="replace")
        with Connection(theirs, readable=False) as end:
            self._process = multiprocessing.get_context("forkserver").Process(
                target=_begin, args=(end, dict(environment), work, argument)
            )
            _server.start(self._process)
        self.terminate, self.kill = self._process.terminate, self._process.kill

    def poll(self) -> int | None:
        """The exit status, once it has ended; −9, too, when the server died and its children."""
        self._process.join(0)
        code = self._process.exitcode
        return -signal.SIGKILL if code == SERVER_DIED else code

    def wait(self, timeout: float | None = None) -> int:
        """The exit status; raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("a forked process", cast(float, timeout))
        return code


def usable(module: str, environment: Mapping[str, str], preload: Sequence[str]) -> bool:
    """Whether a child whose work is in this module is to be forked; else it is a subprocess.

    preload: modules that the server loads; for the first one of them it is started. Linux alone:
    elsewhere no process can be told to die with its parent, and forking is not safe. Nor may
    processes of a pool have children by `multiprocessing`.
    """
    if sys.platform != "linux" or multiprocessing.current_process().daemon:
        return False
    return _server.prepared(environment, preload if module in preload else ())


def _begin(out: Connection, environment: dict[str, str], work: Any, argument: Any) -> None:
    """In the child."""
    os.dup2(out.fileno(), 1)
    os.dup2(out.fileno(), 2)
    out.close()
    os.environ.clear()
    os.environ.update(environment)
    work(argument)


class _Server:
    """The fork server of this process, which lives as long. The one thread of `_starter` starts
    all children: Linux tells a process that its parent is gone when the thread that started it
    ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._early: dict[str, str] | None = None
        self._starter = ThreadPoolExecutor(1, "fork server")

    def prepared(self, environment: Mapping[str, str], preload: Sequence[str]) -> bool:
        """Whether there is a server, now if `preload` names modules, that has this environment."""
        early = {name: value for name, value in environment.items() if name.startswith(EARLY)}
        with self._lock:
            if self._early is None and preload:
                self._early = early
                multiprocessing.set_forkserver_preload([CHILD_SERVER, *preload])
            return self._early == early

    def start(self, process: Any) -> None:
        """Start a process of multiprocessing."""
        self._starter.submit(self._start, process).result()

    def _start(self, process: Any) -> None:
        with _nameless_main():
            with _environment(self._early or {}):
                forkserver.ensure_running()
            process.start()


_server = _Server()


@contextlib.contextmanager
def _environment(early: Mapping[str, str]) -> Iterator[None]:
    """This process's environment with what a server needs, which is started inside."""
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    changes, before = {**early, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}, dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        for name in changes:
            del os.environ[name]
        os.environ.update({name: before[name] for name in changes if name in before})


@contextlib.contextmanager
def _nameless_main() -> Iterator[None]:
    """The program's main module, of which multiprocessing cannot see where it is from: else every
    child would import it, and run a script that has no `if __name__ == "__main__"`."""
    main = sys.modules["__main__"]
    nameless = types.ModuleType("__main__")
    nameless.__dict__.update(main.__dict__, __spec__=None, __file__=None)
    sys.modules["__main__"] = nameless
    try:
        yield
    finally:
        sys.modules["__main__"] = main
