"""Stages that take no time and go wrong on request; imported by real child processes."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from pydantic import BaseModel

from vesselforge.configs.errors import DataError
from vesselforge.engine.artifacts import METRICS, SCRATCH, Inputs
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Interrupted, Progress


class FakeSettings(BaseModel):
    """do: what the stage does. steps, pause: of `count`."""

    do: str = "count"
    steps: int = 3
    pause: float = 0.0


def fake(settings: FakeSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Writes how far it counted, and in how many attempts."""
    ACTS[settings.do](settings, inputs, out, progress)


def count(settings: FakeSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    scratch = out / SCRATCH
    scratch.mkdir(exist_ok=True)
    (scratch / "pid").write_text(str(os.getpid()))
    state = scratch / "state.json"
    step, attempts = json.loads(state.read_text()) if state.is_file() else (0, 0)
    while step < settings.steps:
        if progress.stop_requested:
            write_json(state, [step, attempts + 1])
            raise Interrupted
        time.sleep(settings.pause)
        step += 1
        progress.update(step, settings.steps, "step", loss=1 / step, bad=float("nan"))
    progress.message(f"counted to {step}")
    write_json(out / METRICS, {"counted": step, "attempts": attempts + 1})


def misjudge(settings: FakeSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    raise DataError("picture.png: is upside down")


def fall(settings: FakeSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    print("a library prints")
    print("a library warns", file=sys.stderr)
    raise ZeroDivisionError("one by nought")


def hiccup(settings: FakeSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    raise OSError(5, "Input/output error")


def die(settings: FakeSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(settings: FakeSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Never looks at stop_requested."""
    (out / SCRATCH).mkdir(exist_ok=True)
    (out / SCRATCH / "pid").write_text(str(os.getpid()))
    time.sleep(600)


ACTS = {f.__name__: f for f in (count, misjudge, fall, hiccup, die, refuse)}
