"""How a child process tells its parent how far it is and how it ends: JSON lines.

Read by `child.converse`. A stage's process does so, and so does each one that trains with it.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import sys
from collections.abc import Iterator
from typing import Any

from vesselforge.configs.errors import UserError
from vesselforge.engine.progress import Interrupted, Progress

EXIT_CRASH = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
GIB = 2**30
STARVED = ("DefaultCPUAllocator", "could not create a primitive", "bad_alloc")
"""Words of PyTorch, oneDNN and C++ when the CPU's memory ran out. oneDNN's have other reasons, too;
then another attempt costs less than giving up costs here."""


class StageCrashed(Exception):
    """The child ended without a result: killed (out of memory?) or a programming error. transient:
    another attempt may go well."""

    def __init__(self, message: str, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient


class LostContact(StageCrashed):
    """Another process of a training did not answer; what became of it explains more."""


class Reporter(Progress):
    """Events as JSON lines; SIGTERM and SIGINT become a request to stop. `silent`: no events.

    Reports of progress carry what memory the process took at most; passed-on ones keep what the
    process that does the work said of its own.
    """

    def __init__(self, silent: bool = False) -> None:
        self.stop_requested = False
        self.silent = silent
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self.stop_requested = True

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        if not self.silent:
            told = peak_memory() | stats
            finite = {name: value for name, value in told.items() if abs(value) < float("inf")}
            emit("progress", done=done, total=total, unit=unit, stats=finite)

    def message(self, text: str) -> None:
        if not self.silent:
            emit("message", text=text)


def peak_memory() -> dict[str, float]:
    """The most so far in GiB: of this process in memory, of its tensors on the GPU if it has one.
    Loads no PyTorch and starts no CUDA."""
    unit = 1 if sys.platform == "darwin" else 1024
    found = {"rss_peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB}
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "cuda") and torch.cuda.is_initialized():
        found["gpu_peak_gib"] = torch.cuda.max_memory_allocated() / GIB
    return {name: round(size, 3) for name, size in found.items()}


def emit(event: str, **content: Any) -> None:
    """One event for the parent: a line of its own, whatever a library has printed before it; in
    one write, for several processes may share the pipe."""
    sys.stdout.write("\n" + json.dumps({"event": event, **content}) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def endings(interrupted: int = EXIT_INTERRUPTED) -> Iterator[None]:
    """What a stage may raise, as an event and an exit status."""
    try:
        yield
    except UserError as error:
        emit("error", type=type(error).__name__, text=str(error))
        sys.exit(EXIT_USER_ERROR)
    except Interrupted:
        emit("interrupted")
        sys.exit(interrupted)
    except StageCrashed as error:  # of a child of the child
        how = "lost contact" if isinstance(error, LostContact) else "crash"
        emit(how, transient=error.transient, text=str(error))
        sys.exit(EXIT_CRASH)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        # PyTorch has a type of its own for GPUs, and for the CPU none.
        starved = isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__
        if starved or any(word in str(error) for word in STARVED):
            text = f"out of memory; close other programs, or make batch or crop smaller ({text})"
            emit("crash", transient=True, text=text)
            sys.exit(EXIT_CRASH)
        # A full disk is a UserError by now; other trouble with files may pass.
        emit("crash", transient=isinstance(error, OSError), text=text)
        raise
