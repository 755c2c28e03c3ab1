"""What a run tells its user: a line for every change of a step's state, a bar for each that runs.

Without a terminal that is a log (under a Prefect worker the run's page), or lines in a file.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vesselforge.configs.errors import UserError
from vesselforge.engine.processes.stopping import heard, under_worker
from vesselforge.engine.progress import Bus, Sink, Standing, duration, ending_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

    from vesselforge.engine.artifacts import Outcome

LABEL_WIDTH = 32
STOPPING = "stopping: the current stage saves its checkpoint …"
LOG_EVERY_S, FILE_EVERY_S = 60.0, 15.0
"""Between two lines on the progress of a step: a log is kept, and read later."""


class Display:
    """Where steps report to. stop_requested: the user asked to stop; stages look at it.

    console: a terminal gets live bars of the running steps below the lines of the finished ones, a
    file or pipe lines without control codes; without one, it is the log.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.stop_requested = False
        self.console = console
        self.bars = _new_bars(console) if console is not None and console.is_terminal else None
        self._lines: dict[str, _StepLine] = {}

    def begin(self, step: str, attempt: int = 1) -> Bus:
        """A step is looked at; its stage, if it has to run, reports to what is returned. attempt:
        Prefect's, from 1."""
        line = self._lines[step] = _StepLine(self, step, attempt)
        return Bus(line, stop=lambda: self.stop_requested)

    def failed(self, step: str, error: BaseException) -> None:
        """A step has ended with this: said where it does not end the run, which then says it."""
        self.drop(step)
        ends_run = isinstance(error, UserError) or ending_of(error) == "stopped"
        why = "" if ends_run else str(error) or type(error).__name__
        self.say(_line(step, ending_of(error), why))

    def close(self) -> None:
        """Take away what stands for steps that are not done."""
        for step in list(self._lines):
            self.drop(step)

    def drop(self, step: str) -> None:
        """A step is over: take away what stands for it."""
        line = self._lines.pop(step, None)
        if self.bars is not None and line is not None:
            self.bars.remove_task(line.bar)
            if not self._lines:
                self.bars.stop()

    def started(self, step: str, attempt: int = 1) -> None:
        """A step was not found finished: its stage starts."""
        self.say(_line(step, "started", f"attempt {attempt}" if attempt > 1 else ""))

    def end(self, step: str, outcome: Outcome) -> None:
        """A step is done."""
        self.drop(step)
        how = "reused" if outcome.reused else f"done in {duration(outcome.seconds)}"
        self.say(_line(step, how, headline(outcome.artifact.metrics)))

    def say(self, text: str) -> None:
        """One line."""
        if self.console is None:
            logging.getLogger("vesselforge").info(text)
            return
        with contextlib.suppress(OSError):  # a terminal that was closed ends no training
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def stop(self, notice: str = STOPPING) -> None:
        """Ask the stages that run to save and end. Also from a signal's handler."""
        self.stop_requested = True
        # A signal may arrive in the middle of a line, and a stream cannot be entered twice.
        told = contextvars.copy_context()  # of the run that the line belongs to
        threading.Thread(target=told.run, args=(self.say, notice), daemon=True).start()

    @contextmanager
    def listening(self, notice: str = STOPPING) -> Iterator[None]:
        """The first signal to stop asks the stage to save and end, the second one insists. A worker
        has means of its own to insist, and its first one may not be the first request."""

        def asked() -> None:
            if not self.stop_requested:
                self.stop(notice)
            elif not under_worker():
                raise KeyboardInterrupt

        try:
            with heard(asked):
                yield
        finally:
            self.stop_requested = False


def new_display() -> Display:
    """Bars on a terminal, plain lines elsewhere; on standard error, so that results stay apart."""
    from rich.console import Console

    return Display(Console(stderr=True))


class _StepLine(Sink):
    """What a display shows of one step."""

    def __init__(self, display: Display, step: str, attempt: int) -> None:
        self._display, self._step, self._attempt = display, step, attempt
        self._spoke = time.monotonic()
        if display.bars is not None:
            display.bars.start()
            self.bar = display.bars.add_task(step, total=1.0, text="")

    def started(self) -> None:
        self._display.started(self._step, self._attempt)

    def show(self, standing: Standing) -> None:
        bars, now = self._display.bars, time.monotonic()
        if bars is not None:
            if self.bar in bars.task_ids:
                bars.update(self.bar, completed=standing.share, text=standing.words())
        elif now - self._spoke >= (LOG_EVERY_S if self._display.console is None else FILE_EVERY_S):
            self._spoke = now
            self._display.say(f"  {self._step} {standing.share:4.0%}  {standing.words()}")

    def message(self, text: str) -> None:
        self._display.say(f"  {self._step}: {text}")


def _new_bars(console: Console) -> Bars:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn(f"{{task.description:<{LABEL_WIDTH}}}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}"),
        console=console,
        transient=True,
    )


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


def _line(step: str, how: str, more: str = "") -> str:
    """`teacher   done in 4:12  validation F1 0.823`."""
    return f"{step:<{LABEL_WIDTH}} {how:<14} {more}".rstrip()


def headline(metrics: dict[str, Any]) -> str:
    """The few figures of a stage that are worth a place in its line."""
    found = []
    validation = metrics.get("validation")
    if isinstance(validation, dict) and "f1" in validation:
        found.append(f"validation F1 {validation['f1']:.4f}")
    share = metrics.get("in_range")
    if isinstance(share, dict) and share.get("all") is not None:
        found.append(f"in range {share['all']:.0%}")
    for name in ("images", "kept", "rejected", "fid", "kid_mean"):
        value = metrics.get(name)
        if isinstance(value, int | float):
            found.append(f"{name.replace('_', ' ')} {value:.4g}")
    return "  ".join(found)
