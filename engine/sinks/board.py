"""TensorBoard's view of trainings: scalars of log.jsonl, grids of generated images.

Switched on by the environment variable VESSELFORGE_TENSORBOARD=1, which a worker hands on to its
runs. Event files carry times, so they lie outside artifacts, in
`<workspace>/tensorboard/<kind>/<digest>/`. They show what the training's folder says: every attempt
writes them anew, and takes back what a training undoes when it goes back to a snapshot.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import ConfigError
from vesselforge.engine.documents import flat
from vesselforge.engine.log import read_log
from vesselforge.engine.progress import Sink, Standing
from vesselforge.engine.store import Store

SWITCH = "VESSELFORGE_TENSORBOARD"
FOLLOW_EVERY_S = 10.0
COST = 0.01
"""Of the time that following may take: reading a log of 10,000 lines takes about 0.1 s."""
PICTURES: dict[str, str | None] = {
    "segmenter.train": None,
    "generator.train": "grid-*.png",
    "generator.sample": "grid.png",
}
"""Kind → its pictures. Those hold generated images alone: patients' are shown nowhere."""
NO_CURVES = ("step", "kimg", "from_step")
"""Where a line of the log stands."""
LARGEST = 3.4028234e38
"""Of single precision, as in event files."""
WHOLE = ".whole"
"""Marks a folder that shows all of an artifact."""


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
def drawn(workspace: Path, kind: str, digest: str, step: str) -> Iterator[Sink]:
    """A stage runs inside and reports to what is yielded; its event files follow, if wanted."""
    if kind not in PICTURES or not switched_on():
        yield Sink()
        return
    with contextlib.closing(Board(workspace, kind, digest, step)) as board:
        try:
            yield board
        except BaseException:
            if board.begun:
                board.follow()
            raise
        board.follow(whole=True)


def draw(workspace: Path, kind: str, digest: str, step: str) -> None:
    """The event files of an artifact that was found finished, if wanted and missing."""
    if (board_folder(workspace, kind, digest) / WHOLE).exists():
        return
    with drawn(workspace, kind, digest, step):
        pass


@dataclass(frozen=True)
class Point:
    """Tag → value of one line of a log."""

    step: int
    values: dict[str, float]


def points_of(entries: Iterable[dict[str, Any]]) -> list[Point]:
    """The log as curves: without what a collapsed training has gone back behind."""
    path: list[Point] = []
    for entry in entries:
        while path and path[-1].step > entry["step"]:
            path.pop()
        if values := scalars(entry):
            path.append(Point(entry["step"], values))
    return path


def scalars(entry: Mapping[str, Any]) -> dict[str, float]:
    """Tag → value of every finite number of a line."""
    numbers = {
        name.replace(".", "/"): value
        for name, value in flat({k: v for k, v in entry.items() if k not in NO_CURVES})
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {tag: value for tag, value in numbers.items() if abs(value) <= LARGEST}


class Board(Sink):
    """The event files of one piece of work. A board that cannot be written never stops it.

    Begun by the first report of the work: a process that waits for another one's hears of none.
    """

    def __init__(self, workspace: Path, kind: str, digest: str, step: str) -> None:
        self._kind, self._digest, self._step = kind, digest, step
        self._store = Store(workspace)
        self._folder = board_folder(workspace, kind, digest)
        self._due = 0.0
        self._writer: Any = None
        self._points: list[Point] = []
        self._pictures: set[int] = set()
        self._broken = False

    @property
    def begun(self) -> bool:
        """Whether there is something to follow."""
        return self._writer is not None

    def show(self, standing: Standing) -> None:
        """Follow now and then."""
        began = time.monotonic()
        if began >= self._due:
            self.follow()
            now = time.monotonic()
            self._due = now + max(FOLLOW_EVERY_S, (now - began) / COST)

    def close(self) -> None:
        """The event files are as they stay."""
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()

    def follow(self, whole: bool = False) -> None:
        """Bring the event files in line with the training's folder. whole: it is finished."""
        if self._broken:
            return
        try:
            if self._writer is None:
                self._open()
            self._follow(whole)
        except Exception as error:  # whatever is wrong with a picture of the work, the work goes on
            logging.getLogger("vesselforge").warning("TensorBoard's files: not written: %s", error)
            self._broken = True

    def _open(self) -> None:
        """Begin the event files anew."""
        from tensorboard.plugins.text.summary_v2 import text_pb
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # takes 0.6 s

        for old in (*self._folder.glob("events.out.tfevents.*"), self._folder / WHOLE):
            old.unlink(missing_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventFileWriter(str(self._folder))
        self._take_back(0)  # what a TensorBoard shows that runs meanwhile
        self._add(0, text_pb("step", self._step))

    def _follow(self, whole: bool) -> None:
        name = self._digest if whole else f"{self._digest}.partial"
        made = self._store.folder(self._kind, name)
        points = points_of(read_log(made))
        for old, new in zip_longest(self._points, points[: len(self._points)]):
            if old != new:
                self._take_back(old.step)
                break
        for point in points[len(self._points) :]:
            self._add_scalars(point)
        if pattern := PICTURES[self._kind]:
            reached = math.inf if whole else points[-1].step if points else 0
            for picture in sorted(made.glob(pattern)):
                step = _step_of(picture)
                # While the training has not gone past it, it may be one that is drawn once more.
                if step < reached and step not in self._pictures:
                    self._add_picture(step, picture)
        self._writer.flush()
        if whole:
            (self._folder / WHOLE).touch()

    def _take_back(self, step: int) -> None:
        """Nothing from this step on counts any more."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog

        mark = SessionLog(status=SessionLog.START)
        self._writer.add_event(Event(step=step, session_log=mark, wall_time=time.time()))
        self._points = [point for point in self._points if point.step < step]
        self._pictures = {taken for taken in self._pictures if taken < step}

    def _add_scalars(self, point: Point) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=v) for tag, v in point.values.items()]
        self._add(point.step, Summary(value=values))
        self._points.append(point)

    def _add_picture(self, step: int, file: Path) -> None:
        """A PNG file of 8 bits a channel."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        content = file.read_bytes()
        width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))  # IHDR
        image = Summary.Image(width=width, height=height, encoded_image_string=content)
        self._add(step, Summary(value=[Summary.Value(tag="generated", image=image)]))
        self._pictures.add(step)

    def _add(self, step: int, summary: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.add_event(Event(step=step, summary=summary, wall_time=time.time()))


def _step_of(picture: Path) -> int:
    """`grid-000120.png` is of step 120; a grid without a number is of the only step there is."""
    number = picture.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0
