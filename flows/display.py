"""What a run tells its user: a line for every finished step, a bar for each that runs.

The base class writes to the log (under a Prefect worker that is the run's page); the command line
puts a terminal display in its place.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from data.progress import Progress
from flows.stopping import heard

if TYPE_CHECKING:
    from rich.console import Console

    from flows.stages import Outcome

PLAIN_EVERY_S = 15.0
LABEL_WIDTH = 32
STOPPING = "stopping: the current stage saves its checkpoint …"
FIGURES = ("loss", "f1", "loss_g", "loss_d", "p", "r_t", "kid", "GiB")
"""What of a stage's figures fits in its line; the others are in its log."""


class Display:
    """Where steps report to. stop_requested: the user asked to stop; stages look at it."""

    def __init__(self) -> None:
        self.stop_requested = False
        self._log = logging.getLogger("flows")

    def begin(self, step: str) -> Progress:
        """A step starts; its stage reports to what is returned."""
        return StepProgress(self, step)

    def close(self) -> None:
        """Take away what stands for steps that are not done."""

    def drop(self, step: str) -> None:
        """A step ended badly: take away what stands for it."""

    def end(self, step: str, outcome: Outcome) -> None:
        """A step is done."""
        self.say(finished_line(step, outcome))

    def advance(self, step: str, text: str, share: float) -> None:
        """The step is at `share` of its work. Called as often as the stage likes."""

    def say(self, text: str) -> None:
        self._log.info(text)

    def stop(self, notice: str = STOPPING) -> None:
        """Ask the stages that run to save and end. Also from a signal's handler."""
        self.stop_requested = True
        # A signal may arrive in the middle of a line, and a stream cannot be entered twice.
        told = contextvars.copy_context()  # of the run that the line belongs to
        threading.Thread(target=told.run, args=(self.say, notice), daemon=True).start()

    @contextmanager
    def listening(self, notice: str = STOPPING) -> Iterator[None]:
        """The first signal to stop asks the stage to save and end, the second one insists."""

        def asked() -> None:
            if self.stop_requested:
                raise KeyboardInterrupt
            self.stop(notice)

        try:
            with heard(asked):
                yield
        finally:
            self.stop_requested = False


class StepProgress(Progress):
    """Adds what is missing in a stage's bare numbers: share, pace and time left."""

    def __init__(self, display: Display, step: str) -> None:
        self._display, self._step = display, step
        self._first: tuple[float, float] | None = None

    @property
    def stop_requested(self) -> bool:  # type: ignore[override]
        return self._display.stop_requested

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)  # a resumed stage starts above zero
        began, at = self._first
        parts = [f"{done:g}/{total:g} {unit}".strip()]
        parts += [f"{name} {stats[name]:.3g}" for name in FIGURES if name in stats]
        if done > at:
            pace = (now - began) / (done - at)
            parts.append(f"{_pace(pace)}/{unit or 'item'}")
            parts.append(f"{duration(pace * (total - done))} left")
        self._display.advance(self._step, "  ".join(parts), done / total if total else 1.0)

    def message(self, text: str) -> None:
        self._display.say(f"  {self._step}: {text}")


class PlainDisplay(Display):
    """Lines without control codes, for files and pipes."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def advance(self, step: str, text: str, share: float) -> None:
        if time.monotonic() - self._last >= PLAIN_EVERY_S:
            self._last = time.monotonic()
            self.say(f"  {step} {share:4.0%}  {text}")


class RichDisplay(PlainDisplay):
    """Live bars of the running steps below the lines of the finished ones."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn(f"{{task.description:<{LABEL_WIDTH}}}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
        )
        self._bar: dict[str, Any] = {}

    def begin(self, step: str) -> Progress:
        self._bars.start()
        self._bar[step] = self._bars.add_task(step, total=1.0, text="")
        return super().begin(step)

    def end(self, step: str, outcome: Outcome) -> None:
        self.drop(step)
        super().end(step, outcome)

    def drop(self, step: str) -> None:
        if (bar := self._bar.pop(step, None)) is not None:
            self._bars.remove_task(bar)
        if not self._bar:
            self._bars.stop()

    def advance(self, step: str, text: str, share: float) -> None:
        if (bar := self._bar.get(step)) is not None:
            self._bars.update(bar, completed=share, text=text)

    def close(self) -> None:
        for step in list(self._bar):
            self.drop(step)


_current = Display()


def current() -> Display:
    """The display of this process: what `shown` set, else the log."""
    return _current


@contextmanager
def shown(display: Display) -> Iterator[Display]:
    """Use the display in this process, whatever calls the steps."""
    global _current
    before, _current = _current, display
    try:
        yield display
    finally:
        _current = before
        display.close()


def finished_line(step: str, outcome: Outcome) -> str:
    """`teacher   done in 4:12  f1 0.823`."""
    how = "reused" if outcome.reused else f"done in {duration(outcome.seconds)}"
    return f"{step:<{LABEL_WIDTH}} {how:<14} {headline(outcome.artifact.metrics)}".rstrip()


def headline(metrics: dict[str, Any]) -> str:
    """The few figures of a stage that are worth a place in its line."""
    found = []
    validation = metrics.get("validation")
    if isinstance(validation, dict) and "f1" in validation:
        found.append(f"validation F1 {validation['f1']:.4f}")
    for name in ("images", "kept", "rejected", "fid", "kid_mean"):
        value = metrics.get(name)
        if isinstance(value, int | float):
            found.append(f"{name.replace('_', ' ')} {value:.4g}")
    return "  ".join(found)


def duration(seconds: float) -> str:
    """`0.8 s`, `4:12` or `1:04:12`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _pace(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
