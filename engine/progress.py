"""How a long stage tells the outside world where it is, and learns that it should stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

FIGURES = ("loss", "f1", "loss_g", "loss_d", "p", "r_t", "kid")
"""What of a stage's figures fits in its line; the others are in its log."""


class Interrupted(Exception):
    """Raised by a stage that was asked to stop, after it has saved its checkpoint."""


class Progress:
    """What a stage reports to. This one is silent; see `Bus`."""

    stop_requested: bool = False
    """A stage looks at this between steps. When true: save a checkpoint, raise `Interrupted`."""

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        """`done` of `total` `unit`s are finished; `stats` are figures worth a place in the line."""

    def message(self, text: str) -> None:
        """One line for the log."""


@dataclass(frozen=True)
class Standing:
    """Where a piece of work is. pace: seconds a unit; left: seconds; both None while unknown."""

    done: float
    total: float
    unit: str
    stats: Mapping[str, float]
    pace: float | None
    left: float | None

    @property
    def share(self) -> float:
        """Of the work that is done, in [0, 1]."""
        return min(1.0, self.done / self.total) if self.total else 1.0

    def words(self) -> str:
        """`120/1000 step  loss 0.41  0.8 GiB  210 ms/step  3:05 left`."""
        parts = [f"{self.done:g}/{self.total:g} {self.unit}".strip()]
        parts += [f"{name} {self.stats[name]:.3g}" for name in FIGURES if name in self.stats]
        memory = self.stats.get("gpu_peak_gib", self.stats.get("rss_peak_gib"))
        if memory is not None:
            parts.append(f"{memory:.1f} GiB")
        if self.pace is not None and self.left is not None:
            pace = f"{self.pace:.1f} s" if self.pace >= 1 else f"{self.pace * 1000:.0f} ms"
            parts += [f"{pace}/{self.unit or 'item'}", f"{duration(self.left)} left"]
        return "  ".join(parts)


class Sink:
    """Where reports go to: a terminal, a log, a page. This one drops them."""

    def started(self) -> None:
        """The work was not found finished: it starts, or goes on from its checkpoint."""

    def show(self, standing: Standing) -> None:
        """The work is as far as this. Called as often as the stage likes."""

    def message(self, text: str) -> None:
        """One line of the stage."""

    def ended(self, error: BaseException | None) -> None:
        """The attempt is over, with an artifact or with this."""


class Bus(Progress):
    """Hands on what a stage reports to every sink, with one estimate of pace and time left. stop:
    whether the stage is to stop."""

    def __init__(self, *sinks: Sink, stop: Callable[[], bool] = lambda: False) -> None:
        self._sinks, self._stop = sinks, stop
        self._first: tuple[float, float] | None = None

    def also(self, *sinks: Sink, stop: Callable[[], bool] = lambda: False) -> Bus:
        """A bus with more sinks and one more reason to stop."""
        return Bus(*self._sinks, *sinks, stop=lambda: self._stop() or stop())

    @property
    def stop_requested(self) -> bool:  # type: ignore[override]
        return self._stop()

    def started(self) -> None:
        """See Sink."""
        for sink in self._sinks:
            sink.started()

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        """The pace is the mean since the first call: a resumed stage starts above zero."""
        now = time.monotonic()
        began, start = self._first = self._first or (now, done)
        pace = (now - began) / (done - start) if done > start else None
        left = None if pace is None else pace * max(0.0, total - done)
        standing = Standing(done, total, unit, stats, pace, left)
        for sink in self._sinks:
            sink.show(standing)

    def message(self, text: str) -> None:
        for sink in self._sinks:
            sink.message(text)

    def ended(self, error: BaseException | None) -> None:
        """See Sink."""
        for sink in self._sinks:
            sink.ended(error)


def ending_of(error: BaseException | None) -> str:
    """How an attempt ended that raised this: `done`, `stopped` or `failed`."""
    if error is None:
        return "done"
    asked = isinstance(error, Interrupted) or not isinstance(error, Exception)  # Ctrl-C, an exit
    return "stopped" if asked else "failed"


def clock(seconds: float | None = None) -> str:
    """UTC to the second, `2026-01-31T23:59:59Z`; default: now."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def duration(seconds: float) -> str:
    """`0.8 s`, `4:12` or `1:04:12`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
