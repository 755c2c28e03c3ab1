"""A process that is kept running: started again when it ends by itself, but not for ever."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from vesselforge.configs.errors import UserError
from vesselforge.engine.processes.child import signal_name
from vesselforge.engine.processes.lifetimes import stop_group

START_S = 120.0
STOP_S = 15.0
"""For a server or a worker without runs; they take about three."""
RESTARTS, WINDOW_S = 5, 3600.0
"""So often within an hour a service that ended by itself is started again."""


class Service:
    """A process in a session of its own that dies with this one.

    name: for people. url: answers once it is ready. say: told of every restart. first: called
    before every start. why: the end of the sentence that it did not start. grace: seconds to end
    when asked. options: of subprocess.Popen.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        url: str,
        say: Callable[[str], None],
        first: Callable[[], None] = lambda: None,
        why: Callable[[], str] = lambda: "; see above",
        grace: float = STOP_S,
        **options: Any,
    ) -> None:
        self.name, self._command, self._url, self._say = name, command, url, say
        self._first, self._why, self._grace, self._options = first, why, grace, options
        self._restarts: list[float] = []
        self._process = self._spawn()

    @contextmanager
    def running(self) -> Iterator[Service]:
        """Ready inside, stopped afterwards. Raises UserError when it does not get ready."""
        try:
            self._wait()
            yield self
        finally:
            stop_group(self._process, self._grace)

    def keep_up(self) -> None:
        """Start it again if it has ended. Raises UserError when that happens too often."""
        status = self._process.poll()
        if status is None:
            return
        how = (
            f"was ended by {signal_name(-status)}" if status < 0 else f"ended with status {status}"
        )
        now = time.monotonic()
        self._restarts = [t for t in self._restarts if now - t < WINDOW_S]
        if len(self._restarts) == RESTARTS:
            raise UserError(
                f"{self.name} {how}, and was started again {RESTARTS} times within an hour "
                "already; see above for why, then start `vesselforge serve` again"
            )
        self._restarts.append(now)
        self._say(f"{self.name} {how}; starting it again")
        stop_group(self._process, self._grace)  # what is left of it
        self._process = self._spawn()
        try:
            self._wait()
        except UserError as error:
            self._say(str(error))
            stop_group(self._process, self._grace)

    def _spawn(self) -> subprocess.Popen[str]:
        self._first()
        return subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            **self._options,
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + START_S
        while not answers(self._url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise UserError(f"{self.name} did not start{self._why()}")
            time.sleep(0.1)


def answers(url: str) -> bool:
    """Is there something at this address, one of ours?"""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 (http, and ours)
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False
