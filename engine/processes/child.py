"""A stage in a process of its own, which dies with its parent.

A time-out, an out-of-memory kill, a cancellation or a `kill -9` ends exactly that stage, nothing
is orphaned, and memory returns to zero between stages. The parent hands on what it hears by
`reporting`, and asks the child to stop by SIGTERM; so does `engine.torchrun.workers`, of several
processes for one stage.
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

import vesselforge.configs.errors
from vesselforge.configs.errors import ConfigError, UserError
from vesselforge.engine.artifacts import Stage
from vesselforge.engine.processes.forked import Forked, usable
from vesselforge.engine.processes.lifetimes import die_with_parent
from vesselforge.engine.processes.reporting import EXIT_INTERRUPTED, Reporter, StageCrashed, endings
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.store import Store

COMMAND = [sys.executable, "-m", "vesselforge.engine.processes.child"]
GRACE_S = 20.0
"""Between SIGTERM, upon which a stage saves its checkpoint, and SIGKILL."""
POLL_S, DRAIN_S = 0.2, 5.0

# With glibc's defaults every large temporary goes back to the system at once and is paged in anew:
# keeping freed memory made sampling and training 1.3 to 2 times faster on two cores. OpenMP threads
# that sleep at once when they wait took 0.175 s for a training step of 64² images, those that first
# spin for about 0.1 ms took 0.115 s (two idle cores); those that spin for long made training over
# 10 times slower beside other busy programs. OMP_WAIT_POLICY and the like of the user's come first.
ENVIRONMENT = {
    "GOMP_SPINCOUNT": "20000",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "67108864",
}

Child = subprocess.Popen[str] | Forked


@dataclass(frozen=True)
class Job:
    """A stage and what it works on, as it travels to the child. settings: as JSON. inputs: name →
    kind and digest. outside: hashes of other inputs."""

    workspace: Path
    stage: Stage
    settings: dict[str, Any]
    inputs: dict[str, tuple[str, str]]
    outside: dict[str, str]

    def run(self, progress: Progress) -> None:
        """Run the stage in this process, and publish its artifact."""
        settings = self.stage.settings.model_validate(self.settings)
        store = Store(self.workspace)
        found = {name: store.need(*where) for name, where in self.inputs.items()}
        store.produce(self.stage, settings, found, progress, self.outside)


JOB = TypeAdapter(Job)


def run_in_child(
    job: Job,
    progress: Progress,
    environment: Mapping[str, str] | None = None,
    preload: Sequence[str] = (),
) -> None:
    """Run a job in another process, until it has published its artifact. Raises what the stage
    raised: UserError, Interrupted, or StageCrashed.

    environment: goes over this process's own. preload: modules that stages need, which are loaded
    once for all when the first stage that is in one of them runs.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:  # every process of it would want the same artifact
        raise ConfigError(
            "this command was started by torchrun; start it as it is and set generator.processes "
            "(--set generator.processes=2): it starts torchrun itself"
        )
    told, wanted, child = JOB.dump_json(job).decode(), environment_of(environment), None
    if usable(job.stage.function.partition(":")[0], wanted, preload):
        with contextlib.suppress(EOFError, ConnectionError):  # a module ended the server
            child = Forked(work, told, wanted)
    converse(child or started(COMMAND, wanted, told), job.stage.kind, progress)


def work(text: str) -> None:
    """In the child: run the job and tell how it goes."""
    reporter = Reporter()
    with endings():
        JOB.validate_json(text).run(reporter)


def started(
    command: Sequence[str], environment: Mapping[str, str], given: str = ""
) -> subprocess.Popen[str]:
    """A command as a child with its streams piped. environment: its whole one. given: to read."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=dict(environment),
        start_new_session=True,  # Ctrl-C reaches the parent alone, which then asks the child
    )
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError), child.stdin:
        child.stdin.write(given)
    return child


def environment_of(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """A child's environment: this process's, with what makes the work fast, and the changes."""
    return {**ENVIRONMENT, **os.environ, "PYTHONUNBUFFERED": "1", **(changes or {})}


def converse(child: Child, what: str, progress: Progress) -> None:
    """Hear a child that reports by `Reporter` and `endings`, until it has ended. what: the work, in
    errors. progress: called in this thread alone. Raises what the child raised: UserError,
    Interrupted (asked to stop, checkpoint saved), or StageCrashed."""
    listener = _Listener(child, progress)
    try:
        while child.poll() is None and not progress.stop_requested:
            listener.hear(POLL_S)
    finally:
        _stop(child)
        listener.drain()
    _raise_for(child.wait(), listener, what, progress.stop_requested)


def _stop(child: Child) -> None:
    """Ask it to save and end; kill it when it does not, or when somebody insists."""
    child.terminate()
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
    finally:
        child.kill()
        child.wait()


class _Listener:
    """A thread collects the child's lines, so that it never waits; the caller's handles them."""

    def __init__(self, child: Child, progress: Progress) -> None:
        self.progress = progress
        self.endings: dict[str, dict[str, Any]] = {}
        """How the child, or processes of its own, said that they would end badly: event → the
        first of its kind."""
        self.last_words = ""
        """The last line that is no event: of a traceback, the exception."""
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._open = True

        def collect(stream: IO[str]) -> None:
            for line in stream:
                self._lines.put(line.rstrip())
            self._lines.put(None)

        threading.Thread(target=collect, args=(child.stdout,), daemon=True).start()

    def hear(self, timeout: float) -> None:
        """Handle one line, waiting for it at most `timeout` seconds."""
        with contextlib.suppress(queue.Empty):
            line = self._lines.get(timeout=timeout)
            self._open = line is not None
            if line:
                self._handle(line)

    def drain(self) -> None:
        """What was said before the end; a grandchild may hold the stream open for longer."""
        deadline = time.monotonic() + DRAIN_S
        while self._open and time.monotonic() < deadline:
            self.hear(POLL_S)

    def _handle(self, line: str) -> None:
        try:
            event = json.loads(line)
            what = event["event"]
        except (ValueError, TypeError, KeyError):  # a library, or a traceback
            self.last_words = line.strip()
            self.progress.message(line)
            return
        if what == "progress":
            self.progress.update(event["done"], event["total"], event["unit"], **event["stats"])
        elif what == "message":
            self.progress.message(event["text"])
        else:
            self.endings.setdefault(what, event)


def _raise_for(code: int, heard: _Listener, what: str, stopping: bool) -> None:
    if ending := heard.endings.get("error"):
        raise getattr(vesselforge.configs.errors, ending["type"], UserError)(ending["text"])
    if "interrupted" in heard.endings or code == EXIT_INTERRUPTED or (stopping and code < 0):
        raise Interrupted(f"{what} was stopped; the same command goes on from its last checkpoint")
    if code == 0:
        return
    # Who lost contact with another one that crashed knows less.
    if ending := heard.endings.get("crash") or heard.endings.get("lost contact"):
        raise StageCrashed(f"{what}: {ending['text']}", ending["transient"])
    if code < 0:
        raise StageCrashed(f"{what}: the stage's process was ended by {signal_name(-code)}")
    detail = f": {heard.last_words}" if heard.last_words else ""
    raise StageCrashed(
        f"{what}: the stage's process failed with exit status {code}{detail}", transient=False
    )


def signal_name(number: int) -> str:
    """The name of a signal that ended a process, with a guess at the reason."""
    hint = " (out of memory?)" if number == signal.SIGKILL else ""
    return f"{signal.Signals(number).name}{hint}"


if __name__ == "__main__":
    die_with_parent(signal.SIGKILL)
    work(sys.stdin.read())
