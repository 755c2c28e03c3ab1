"""What became of a stage and when: `<workspace>/logs/<kind>/<digest>.jsonl`, one event a line.

It has times, so it lies outside the artifact, whose bytes depend on the work alone. Every attempt
appends. A stage that is found finished writes nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vesselforge.engine.processes.memory import MEMORY
from vesselforge.engine.progress import Interrupted, Sink, Standing

PROGRESS_EVERY_S = 10.0


def log_file(workspace: Path, kind: str, digest: str) -> Path:
    """Where the log of a piece of work is."""
    return workspace / "logs" / kind / f"{digest}.jsonl"


def read_events(file: Path) -> Iterator[dict[str, Any]]:
    """The events of a log, oldest first, without lines that a kill has torn."""
    for line in file.read_bytes().splitlines() if file.exists() else ():
        with contextlib.suppress(ValueError):
            yield json.loads(line)


class StageLog(Sink):
    """Writes down what a stage reports; of its progress one line in PROGRESS_EVERY_S.

    A log that cannot be written never stops the work.
    """

    def __init__(self, file: Path, step: str) -> None:
        self._file, self._step = file, step
        self._began = time.monotonic()
        self._due = 0.0
        self._last: Standing | None = None
        self._broken = False

    def started(self) -> None:
        self._write("started", host=socket.gethostname(), pid=os.getpid())

    def show(self, standing: Standing) -> None:
        self._last = standing
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + PROGRESS_EVERY_S
            self._write("progress", **_figures(standing))

    def message(self, text: str) -> None:
        self._write("message", text=text)

    def end(self, how: str, reason: str = "") -> None:
        """The attempt is over: `done`, `stopped` or `failed`, and where it was."""
        seconds = round(time.monotonic() - self._began, 2)
        content: dict[str, Any] = {"seconds": seconds} | ({"reason": reason} if reason else {})
        self._write(how, **content, **(_figures(self._last) if self._last else {}))

    def _write(self, event: str, **content: Any) -> None:
        """One line in one write, for another process may wait for the same work."""
        clock = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = {"time": clock, "event": event, "step": self._step, **content}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a+b") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - 1))
                torn = stream.read(1) not in (b"", b"\n")  # by a kill: it stays a line of its own
                stream.write(b"\n" * torn + json.dumps(entry).encode() + b"\n")
        except OSError as error:
            if not self._broken:
                logging.getLogger("vesselforge").warning("stage log: was not written: %s", error)
            self._broken = True


def _figures(standing: Standing) -> dict[str, Any]:
    """pace_s: seconds a unit; left_s: seconds to go; None while unknown."""
    found: dict[str, Any] = {"done": standing.done, "total": standing.total, "unit": standing.unit}
    found["pace_s"] = None if standing.pace is None else round(standing.pace, 4)
    found["left_s"] = None if standing.left is None else round(standing.left, 1)
    found["stats"] = {n: float(f"{v:.6g}") for n, v in standing.stats.items() if n not in MEMORY}
    found["memory"] = {n: v for n, v in standing.stats.items() if n in MEMORY}
    return found


@contextlib.contextmanager
def logged(workspace: Path, kind: str, digest: str, step: str) -> Iterator[StageLog]:
    """A stage runs inside and reports to what is yielded; how it ends is written down."""
    log = StageLog(log_file(workspace, kind, digest), step)
    try:
        yield log
    except Exception as error:
        how = "stopped" if isinstance(error, Interrupted) else "failed"
        log.end(how, str(error) or type(error).__name__)
        raise
    except BaseException as error:  # Ctrl-C, a cancellation, an exit
        log.end("stopped", type(error).__name__)
        raise
    log.end("done")
