"""A stage in a process of its own, which dies with its parent.

A time-out, an out-of-memory kill, a cancellation or a `kill -9` ends exactly that stage, nothing
is orphaned, and memory returns to zero between stages. Parent and child speak JSON lines.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import configs.errors
from configs.errors import UserError
from data.progress import Interrupted, Progress
from flows.processes import die_with_parent

GRACE_S = 20.0
"""Between SIGTERM, upon which a stage saves its checkpoint, and SIGKILL."""
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
POLL_S = 0.2

# With glibc's defaults every large temporary goes back to the system at once and is paged in anew:
# keeping freed memory made sampling and training 1.3 to 2 times faster on two cores. OpenMP threads
# that spin while they wait made training over 10 times slower beside another busy program.
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "67108864",
}


class StageCrashed(Exception):
    """The child ended without a result: killed (out of memory?) or a programming error.

    transient: another attempt may go well.
    """

    def __init__(self, message: str, transient: bool = True) -> None:
        super().__init__(message)
        self.transient = transient


def run_in_child(spec: dict[str, Any], progress: Progress) -> None:
    """Run `python -m flows.child` on the spec until it has published its artifact.

    `progress` is called in this thread alone. Raises what the stage raised: UserError,
    Interrupted (asked to stop, checkpoint saved), or StageCrashed.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", "flows.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=ENVIRONMENT | dict(os.environ) | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,  # Ctrl-C reaches the parent alone, which then asks the child
    )
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError), child.stdin:
        child.stdin.write(json.dumps(spec))
    listener = _Listener(child, progress)
    try:
        while child.poll() is None and not progress.stop_requested:
            listener.hear(POLL_S)
    finally:
        _stop(child)
        listener.drain()
    _raise_for(child.returncode, listener, spec["kind"], progress.stop_requested)


def _stop(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


class _Listener:
    """The parent's end: two threads collect the child's lines, the caller's thread handles them."""

    def __init__(self, child: subprocess.Popen[str], progress: Progress) -> None:
        self.progress = progress
        self.ending: dict[str, Any] = {}
        """How the child said that it would end badly."""
        self.last_words = ""
        """The last line on its standard error: of a traceback, the exception."""
        self._lines: queue.Queue[tuple[bool, str] | None] = queue.Queue()
        self._open = 2
        for stream, is_error in ((child.stdout, False), (child.stderr, True)):
            threading.Thread(target=self._collect, args=(stream, is_error), daemon=True).start()

    def _collect(self, stream: IO[str], is_error: bool) -> None:
        for line in stream:
            self._lines.put((is_error, line.rstrip()))
        self._lines.put(None)

    def hear(self, timeout: float) -> None:
        """Handle one line, waiting for it at most `timeout` seconds."""
        with contextlib.suppress(queue.Empty):
            line = self._lines.get(timeout=timeout)
            if line is None:
                self._open -= 1
            elif line[1]:
                self._handle(*line)

    def drain(self, seconds: float = 5.0) -> None:
        """What was said before the end; a grandchild may hold the streams open for longer."""
        deadline = time.monotonic() + seconds
        while self._open and time.monotonic() < deadline:
            self.hear(POLL_S / 2)

    def _handle(self, is_error: bool, line: str) -> None:
        if is_error:
            self.last_words = line.strip()
            self.progress.message(line)
            return
        try:
            event = json.loads(line)
            what = event["event"]
        except (ValueError, TypeError, KeyError):
            self.progress.message(line)  # a library printed something
            return
        if what == "progress":
            self.progress.update(event["done"], event["total"], event["unit"], **event["stats"])
        elif what == "message":
            self.progress.message(event["text"])
        else:
            self.ending = event


def _raise_for(code: int, heard: _Listener, kind: str, stopping: bool) -> None:
    if code == 0:
        return
    if code == EXIT_USER_ERROR and heard.ending:
        error = getattr(configs.errors, heard.ending["type"], UserError)
        raise error(heard.ending["text"])
    if code == EXIT_INTERRUPTED or (stopping and code < 0):
        raise Interrupted(f"{kind} was stopped; the same command goes on from its last checkpoint")
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        raise StageCrashed(f"{kind}: the stage's process was ended by {name}{hint}")
    detail = f": {heard.last_words}" if heard.last_words else ""
    raise StageCrashed(
        f"{kind}: the stage's process failed with exit status {code}{detail}",
        heard.ending.get("transient", False),
    )


class _Reporter(Progress):
    """The child's end: events as JSON lines; SIGTERM and SIGINT become a request to stop."""

    def __init__(self) -> None:
        self.stop_requested = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self.stop_requested = True

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        finite = {name: value for name, value in stats.items() if abs(value) < float("inf")}
        emit("progress", done=done, total=total, unit=unit, stats=finite)

    def message(self, text: str) -> None:
        emit("message", text=text)


def emit(event: str, **content: Any) -> None:
    """One event for the parent."""
    print(json.dumps({"event": event, **content}), flush=True)


@contextlib.contextmanager
def _endings() -> Iterator[None]:
    """What a stage may raise, as an exit status."""
    try:
        yield
    except UserError as error:
        emit("error", type=_public_type(error), text=str(error))
        sys.exit(EXIT_USER_ERROR)
    except Interrupted:
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        # A full disk is a UserError by now; other trouble with files or memory may pass.
        short = isinstance(error, OSError | MemoryError) or "OutOfMemory" in type(error).__name__
        emit("crash", transient=short)
        raise


def _public_type(error: UserError) -> str:
    """The nearest class that configs.errors names (the store has subclasses of its own)."""
    return next(c.__name__ for c in type(error).__mro__ if hasattr(configs.errors, c.__name__))


def main() -> None:
    """Read a spec from standard input, run its stage, publish the artifact."""
    die_with_parent(signal.SIGKILL)
    spec = json.loads(sys.stdin.read())
    reporter = _Reporter()
    from data.store import Store
    from flows.stages import named_stage

    store = Store(Path(spec["workspace"]))
    stage = named_stage(spec["stage"])
    with _endings():
        inputs = {}
        for name, (kind, digest) in spec["inputs"].items():
            artifact = store.find(kind, digest)
            if artifact is None:
                raise UserError(f"{store.folder(kind, digest)}: input artifact is gone; run again")
            inputs[name] = artifact
        settings = stage.settings.model_validate(spec["settings"])
        store.produce(stage, settings, inputs, reporter, spec["outside"])


if __name__ == "__main__":
    main()
