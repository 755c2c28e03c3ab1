"""Slots of a Prefect concurrency limit, waited for without being deaf to a request to stop."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from data.progress import Interrupted, Progress

POLL_S = 0.2


@contextmanager
def slot(limit: str | None, progress: Progress) -> Iterator[None]:
    """A slot of the limit while inside; of none without a name.

    A lease that is lost, as by a restart of the server, does not end hours of training. Raises
    Interrupted when asked to stop before there was a slot: others may hold them all for hours.
    """
    if limit is None:
        yield
        return
    holder = _Holder(limit)
    try:
        while not holder.settled.wait(POLL_S):
            if progress.stop_requested:
                raise Interrupted("stopped before it began; the same command goes on from there")
        if holder.failure is not None:
            raise holder.failure
        yield
    finally:
        holder.release()


class _Holder:
    """A thread that gets a slot, holds it, and gives it back when told, however late it got it.

    Prefect's own time limit would do for the waiting, but an attempt that is given up may still
    be granted by a busy server, and that slot is then nobody's until its lease ends.
    """

    def __init__(self, limit: str) -> None:
        self.settled = threading.Event()
        self.failure: Exception | None = None
        self._done = threading.Event()
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._hold, limit), daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the slot back; returns when that is done, at once while there is none."""
        self._done.set()
        if self.settled.is_set():
            self._thread.join()

    def _hold(self, limit: str) -> None:
        from prefect.concurrency.sync import concurrency

        try:
            with concurrency(limit, occupy=1, strict=True, raise_on_lease_renewal_failure=False):
                self.settled.set()
                self._done.wait()
        except Exception as error:
            self.failure = error
            self.settled.set()
