"""A progress that remembers what it was told, and where helpers lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vesselforge.engine.progress import Bus, Sink, Standing

HELPERS = Path(__file__).parent


class Heard(Bus):
    """A bus that remembers what it, and a bus made of it, was told."""

    stop_requested = False  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(_Ear(self), stop=lambda: self.stop_requested)
        self.updates: list[tuple[float, float, str, dict[str, float]]] = []
        self.messages: list[str] = []
        self.stop_after = 10**9

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        self.updates.append((done, total, unit, stats))
        if len(self.updates) >= self.stop_after:
            self.stop_requested = True

    def message(self, text: str) -> None:
        self.messages.append(text)


def read_events(file: Path) -> list[dict[str, Any]]:
    """The events of a stage's log, oldest first."""
    return [json.loads(line) for line in file.read_text().splitlines()]


class _Ear(Sink):
    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def show(self, standing: Standing) -> None:
        self._heard.update(standing.done, standing.total, standing.unit, **standing.stats)

    def message(self, text: str) -> None:
        self._heard.message(text)
