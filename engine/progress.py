"""How a long stage tells the outside world where it is, and learns that it should stop."""

from __future__ import annotations


class Interrupted(Exception):
    """Raised by a stage that was asked to stop, after it has saved its checkpoint."""


class Progress:
    """Silent by default; `flows` supplies one that prints and forwards to Prefect."""

    stop_requested: bool = False
    """A stage looks at this between steps. When true: save a checkpoint, raise `Interrupted`."""

    def started(self) -> None:
        """The work was not found finished: it starts, or goes on from its checkpoint."""

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        """`done` of `total` `unit`s are finished; `stats` are figures worth a place in the line."""

    def message(self, text: str) -> None:
        """One line for the log."""


class Relay(Progress):
    """Passes everything on to another one; base of those that add something on the way."""

    def __init__(self, inner: Progress) -> None:
        self._inner = inner

    @property
    def stop_requested(self) -> bool:  # type: ignore[override]
        return self._inner.stop_requested

    def started(self) -> None:
        self._inner.started()

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        self._inner.update(done, total, unit, **stats)

    def message(self, text: str) -> None:
        self._inner.message(text)
