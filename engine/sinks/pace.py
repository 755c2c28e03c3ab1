"""How far a piece of work has come, how fast it goes and how long it still takes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

FIGURES = ("loss", "f1", "loss_g", "loss_d", "p", "r_t", "kid")
"""What of a stage's figures fits in its line; the others are in its log."""


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
            parts.append(f"{_pace(self.pace)}/{self.unit or 'item'}")
            parts.append(f"{duration(self.left)} left")
        return "  ".join(parts)


class Estimate:
    """Adds pace and time left to a stage's bare numbers; a resumed stage starts above zero."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def at(self, done: float, total: float, unit: str, stats: Mapping[str, float]) -> Standing:
        """The standing now. The pace is the mean since the first call."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        began, start = self._first
        pace = (now - began) / (done - start) if done > start else None
        left = None if pace is None else pace * max(0.0, total - done)
        return Standing(done, total, unit, stats, pace, left)


def duration(seconds: float) -> str:
    """`0.8 s`, `4:12` or `1:04:12`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _pace(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"
