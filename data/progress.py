"""How a long stage tells the outside world where it is, and learns that it should stop."""

from __future__ import annotations


class Interrupted(Exception):
    """Raised by a stage that was asked to stop, after it has saved its checkpoint."""


class Progress:
    """Silent by default; `flows` supplies one that prints and forwards to Prefect."""

    stop_requested: bool = False
    """A stage looks at this between steps. When true: save a checkpoint, raise `Interrupted`."""

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        """`done` of `total` `unit`s are finished; `stats` are figures worth a place in the line."""

    def message(self, text: str) -> None:
        """One line for the log."""
