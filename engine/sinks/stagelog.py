"""What became of a stage and when: `<workspace>/logs/<kind>/<digest>.jsonl`, one event a line.

It has times, so it lies outside the artifact, whose bytes depend on the work alone. Every attempt
appends. A stage that is found finished writes nothing.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vesselforge.engine.progress import Sink, Standing, ending_of

PROGRESS_EVERY_S = 10.0


def log_file(workspace: Path, kind: str, digest: str) -> Path:
    """Where the log of a piece of work is."""
    return workspace / "logs" / kind / f"{digest}.jsonl"


class StageLog(Sink):
    """Writes down what a stage reports; of its progress one line in PROGRESS_EVERY_S. A log that
    cannot be written never stops the work."""

    def __init__(self, file: Path, step: str) -> None:
        self._file, self._step = file, step
        self._began = time.monotonic()
        self._due = 0.0
        self._last: dict[str, Any] = {}
        self._broken = False

    def started(self) -> None:
        self._write("started", host=socket.gethostname(), pid=os.getpid())

    def show(self, standing: Standing) -> None:
        self._last = {
            "done": standing.done,
            "total": standing.total,
            "unit": standing.unit,
            "pace_s": None if standing.pace is None else round(standing.pace, 4),
            "left_s": None if standing.left is None else round(standing.left, 1),
            "stats": {name: float(f"{value:.6g}") for name, value in standing.stats.items()},
        }
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + PROGRESS_EVERY_S
            self._write("progress", **self._last)

    def message(self, text: str) -> None:
        self._write("message", text=text)

    def ended(self, error: BaseException | None) -> None:
        """The attempt is over: how, and where it was."""
        seconds = round(time.monotonic() - self._began, 2)
        reason = {} if error is None else {"reason": str(error) or type(error).__name__}
        self._write(ending_of(error), seconds=seconds, **reason, **self._last)

    def _write(self, event: str, **content: Any) -> None:
        """One line in one write, for another process may wait for the same work."""
        clock = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = {"time": clock, "event": event, "step": self._step, **content}
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a") as stream:
                stream.write(json.dumps(entry) + "\n")
        except OSError as error:
            if not self._broken:
                logging.getLogger("vesselforge").warning("stage log: was not written: %s", error)
            self._broken = True
