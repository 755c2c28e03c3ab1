"""TensorBoard's view of trainings: scalars of log.jsonl, grids of generated images.

Switched on by the environment variable VESSELFORGE_TENSORBOARD=1, which a worker hands on to its
runs. Event files carry times, so they lie outside artifacts, in
`<workspace>/tensorboard/<kind>/<digest>/`. They show what the training's folder says: every attempt
writes them anew.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vesselforge.configs.errors import ConfigError
from vesselforge.engine.documents import flat
from vesselforge.engine.log import read_log
from vesselforge.engine.progress import Sink, Standing
from vesselforge.engine.store import Store

SWITCH = "VESSELFORGE_TENSORBOARD"
FOLLOW_EVERY_S = 30.0
"""Reading a log of 10,000 lines takes about 0.1 s."""
KINDS = ("segmenter.train", "generator.train")
PICTURES = "grid-*.png"
"""By step. Those hold generated images alone: patients' are shown nowhere."""


def board_folder(workspace: Path, kind: str, digest: str) -> Path:
    """Where the event files of a piece of work are."""
    return workspace / "tensorboard" / kind / digest


def switched_on() -> bool:
    """Whether VESSELFORGE_TENSORBOARD says so. Raises ConfigError for a value that is neither 0 nor
    1, or when TensorBoard is not installed."""
    value = os.environ.get(SWITCH, "")
    if value not in ("", "0", "1"):
        raise ConfigError(f"{SWITCH}: found {value!r}, expected 1 or 0")
    if value == "1" and importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            f"{SWITCH}=1 needs the package tensorboard, which is not installed; "
            f"`pip install 'vesselforge[tensorboard]'`, or unset {SWITCH}"
        )
    return value == "1"


def boards(workspace: Path, kind: str, digest: str, step: str) -> list[Board]:
    """The board of a stage that runs, if it has one and that is wanted."""
    wanted = kind in KINDS and switched_on()
    return [Board(workspace, kind, digest, step)] if wanted else []


def draw(workspace: Path, kind: str, digest: str, step: str) -> None:
    """The event files of an artifact that was found finished, if wanted and missing."""
    if not board_folder(workspace, kind, digest).exists():
        for board in boards(workspace, kind, digest, step):
            board.ended(None)


class Board(Sink):
    """The event files of one attempt. A board that cannot be written never stops the work. Begun by
    the first report of the work: a process that waits for another one's hears of none."""

    def __init__(self, workspace: Path, kind: str, digest: str, step: str) -> None:
        self._made = Store(workspace).folder(kind, digest)
        self._folder = board_folder(workspace, kind, digest)
        self._step = step
        self._due = 0.0
        self._writer: Any = None
        self._lines, self._pictures = 0, set[str]()  # that are in them
        self._broken = False

    def show(self, standing: Standing) -> None:
        """Follow now and then."""
        if time.monotonic() >= self._due:
            self.follow()
            self._due = time.monotonic() + FOLLOW_EVERY_S

    def ended(self, error: BaseException | None) -> None:
        """The event files are as they stay."""
        if error is None or self._writer is not None:
            self.follow(whole=error is None)
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.close()

    def follow(self, whole: bool = False) -> None:
        """Bring the event files in line with the training's folder. whole: it is finished."""
        if self._broken:
            return
        try:
            self._follow(self._made if whole else self._made.with_suffix(".partial"))
            self._writer.flush()
        except Exception as error:  # whatever is wrong with a picture of the work, the work goes on
            logging.getLogger("vesselforge").warning("TensorBoard's files: not written: %s", error)
            self._broken = True

    def _follow(self, made: Path) -> None:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            for old in self._folder.glob("events.out.tfevents.*"):  # of earlier attempts
                old.unlink()
            self._writer = SummaryWriter(self._folder, purge_step=0)
            self._writer.add_text("step", self._step)
        entries = list(read_log(made))
        for entry in entries[self._lines :]:
            for tag, value in scalars(entry).items():
                self._writer.add_scalar(tag, value, entry["step"])
        self._lines = len(entries)
        for name in sorted({path.name for path in made.glob(PICTURES)} - self._pictures):
            pixels = np.asarray(Image.open(made / name).convert("RGB"))
            step = int(name.removesuffix(".png").rpartition("-")[2])
            self._writer.add_image("generated", pixels, step, dataformats="HWC")
            self._pictures.add(name)


def scalars(entry: Mapping[str, Any]) -> dict[str, float]:
    """Tag → value of every finite number of a line, but for where it stands."""
    return {
        name.replace(".", "/"): value
        for name, value in flat({k: v for k, v in entry.items() if k not in ("step", "kimg")})
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
