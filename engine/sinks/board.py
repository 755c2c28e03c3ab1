"""TensorBoard's view of trainings: scalars of log.jsonl, grids of generated images.

Switched on by the environment variable VESSELFORGE_TENSORBOARD=1, which a worker hands on to its
runs. Event files carry times, so they lie outside artifacts, in
`<workspace>/tensorboard/<kind>/<digest>/`. They show what the training's folder says, and are made
to agree with it again when a training goes back: to a checkpoint after a kill, to a snapshot after
a collapse.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import logging
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vesselforge.configs.errors import ConfigError
from vesselforge.engine.log import read_log
from vesselforge.engine.progress import Progress, Relay
from vesselforge.engine.sinks.curves import surviving
from vesselforge.engine.store import Store

if TYPE_CHECKING:
    from vesselforge.engine.sinks.eventfiles import (
        EventFiles,  # needs TensorBoard, and 0.6 s to be imported
    )

SWITCH = "VESSELFORGE_TENSORBOARD"
FOLLOW_EVERY_S = 10.0
SHARE = 0.01
"""Of the time that following may take: reading a log of 10,000 lines takes about 0.1 s."""
PICTURES: dict[str, str | None] = {
    "segmenter.train": None,
    "generator.train": "grid-*.png",
    "generator.sample": "grid.png",
}
"""Kind → its pictures. Those hold generated images alone: patients' are shown nowhere."""


def board_folder(workspace: Path, kind: str, digest: str) -> Path:
    """Where the event files of a piece of work are."""
    return workspace / "tensorboard" / kind / digest


def switched_on() -> bool:
    """Whether VESSELFORGE_TENSORBOARD says so.

    Raises ConfigError for a value that is neither 0 nor 1, or when TensorBoard is not installed.
    """
    value = os.environ.get(SWITCH, "")
    if value not in ("", "0", "1"):
        raise ConfigError(f"{SWITCH}: found {value!r}, expected 1 or 0")
    if value == "1" and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            f"{SWITCH}=1 needs the package tensorboard, which is not installed; "
            f"`pip install 'vesselforge[tensorboard]'`, or unset {SWITCH}"
        )
    return value == "1"


@contextlib.contextmanager
def drawn(
    progress: Progress, workspace: Path, kind: str, digest: str, step: str
) -> Iterator[Progress]:
    """A stage runs inside and reports to what is yielded; its event files follow, if wanted."""
    if kind not in PICTURES or not switched_on():
        yield progress
        return
    with Board(workspace, kind, digest, step) as board:
        try:
            yield Follower(progress, board)
        except BaseException:
            board.follow()
            raise
        board.follow(whole=True)


def draw(workspace: Path, kind: str, digest: str, step: str) -> None:
    """The event files of an artifact that was found finished, if wanted and missing."""
    if kind in PICTURES and switched_on():
        with Board(workspace, kind, digest, step) as board:
            board.follow(whole=True)


class Follower(Relay):
    """Passes everything on, and lets a board follow now and then."""

    def __init__(self, inner: Progress, board: Board) -> None:
        super().__init__(inner)
        self._board = board
        self._due = 0.0

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        super().update(done, total, unit, **stats)
        began = time.monotonic()
        if began >= self._due:
            self._board.follow()
            now = time.monotonic()
            self._due = now + max(FOLLOW_EVERY_S, (now - began) / SHARE)


class Board:
    """The event files of one piece of work. A board that cannot be written never stops it.

    One process at a time writes them: another one that waits for the same work leaves them alone.
    """

    def __init__(self, workspace: Path, kind: str, digest: str, step: str) -> None:
        self._kind, self._step = kind, step
        self._store, self._digest = Store(workspace), digest
        self._folder = board_folder(workspace, kind, digest)
        self._lock: IO[bytes] | None = None
        self._events: EventFiles | None = None
        self._broken = False

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        if self._lock is not None:
            self._lock.close()

    def _close(self) -> None:
        if self._events is not None:
            with contextlib.suppress(OSError):  # of a disk that is full it was told already
                self._events.close()
        self._events = None

    def follow(self, whole: bool = False) -> None:
        """Bring the event files in line with the training's folder. whole: it is finished."""
        try:
            if self._locked():
                self._follow(whole)
        except Exception as error:  # whatever is wrong with a picture of the work, the work goes on
            if not self._broken:
                logging.getLogger("flows").warning("TensorBoard's files: not written: %s", error)
            self._broken = True
            self._close()  # what is not whole in them is left behind, another file goes on

    def _locked(self) -> bool:
        if self._lock is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = (self._folder / ".lock").open("wb")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                return False
            self._lock = lock
        return True

    def _follow(self, whole: bool) -> None:
        if self._events is None:
            from vesselforge.engine.sinks.eventfiles import EventFiles

            self._events = EventFiles(self._folder)
        name = self._digest if whole else f"{self._digest}.partial"
        made = self._store.folder(self._kind, name)
        points = surviving(read_log(made))
        self._events.show(points)
        if pattern := PICTURES[self._kind]:
            reached = math.inf if whole else points[-1].step if points else 0
            for picture in sorted(made.glob(pattern)):
                step = _step_of(picture)
                # While the training has not gone past it, it may be one that is drawn once more.
                if step < reached:
                    self._events.picture(step, picture)
        if self._events.empty_before:
            self._events.text("step", self._step)
        self._events.flush()


def _step_of(picture: Path) -> int:
    """`grid-000120.png` is of step 120; a grid without a number is of the only step there is."""
    number = picture.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0
