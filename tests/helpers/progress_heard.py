"""A progress that remembers what it was told, and where helpers lie."""

from __future__ import annotations

from pathlib import Path

from vesselforge.engine.progress import Progress

HELPERS = Path(__file__).parent


class Heard(Progress):
    """A progress that remembers."""

    def __init__(self) -> None:
        self.stop_requested = False
        self.updates: list[tuple[float, float, str, dict[str, float]]] = []
        self.messages: list[str] = []
        self.stop_after = 10**9

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        self.updates.append((done, total, unit, stats))
        if len(self.updates) >= self.stop_after:
            self.stop_requested = True

    def message(self, text: str) -> None:
        self.messages.append(text)
