"""Prefect's server inside one run: on a free port of the loopback, gone when the run is.

Prefect can start such a server itself, but a killed run leaves that one behind, and Ctrl-C stops
it before the run has reported its end. This one has a session of its own and dies with us. The
socket is ours: when the server is killed another one goes on, and requests wait there meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from vesselforge.configs.errors import UserError
from vesselforge.engine.processes.lifetimes import die_with_parent, stop_group

LOOPBACK = ("127.0.0.1", 0)
"""A free port of it."""
START_S = 120.0
COMMAND = [sys.executable, "-m", "vesselforge.flows.serving.embedded"]
LAST_BYTES = 4096
STARTS = 4
"""So often the server is started in one run; one that always ends has another trouble."""
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # of SQLite's lock, on a busy machine
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the page of the run shows the log
    "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",  # a dump of every event that a lost server misses
    "PREFECT_LOGGING_EXTRA_LOGGERS": "data,flows,generator,segmenter",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # as in prefect.toml: automations/ relies on it
}
"""Defaults of the environment in which the command line imports Prefect."""
_running = False


@contextlib.contextmanager
def api() -> Iterator[str]:
    """The address of the server to use: the configured one, else one that lives as long as this.

    Imports Prefect. Raises UserError when the configured one does not answer.
    """
    configured = api_url()
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if configured:
        if not healthy(configured, timeout=5):
            raise UserError(
                f"PREFECT_API_URL={configured}: no Prefect server answers there; start it with "
                "`prefect server start`, or unset the variable to use the embedded one"
            )
        yield configured
        return
    with embedded_server() as url, temporary_settings({PREFECT_API_URL: url}):
        try:
            yield url
        finally:
            _send_what_is_left()


def api_url() -> str | None:
    """The configured server: environment, prefect.toml or profile. Imports Prefect."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from prefect.settings import PREFECT_API_URL

    return PREFECT_API_URL.value() or None


def _send_what_is_left() -> None:
    """Logs and events travel in the background; after the server's end they have nowhere to go."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=5)


def forget_what_is_left() -> None:
    """The server is gone for good. At the end of the process Prefect would try for seconds to send
    each event that waits, minutes in all, and offers no other way to give them up."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    kinds: tuple[Any, ...] = (APILogWorker, EventsWorker)
    for service in [service for kind in kinds for service in kind._instances.values()]:
        with contextlib.suppress(queue.Empty):
            while True:
                service._queue.get_nowait()


@contextlib.contextmanager
def embedded_server() -> Iterator[str]:
    """A Prefect API without page and scheduler; yields its address.

    Raises UserError when it cannot be started, with the reason.
    """
    global _running
    with socket.create_server(LOOPBACK) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        server = _Server(listener)
        try:
            deadline = time.monotonic() + START_S
            while not healthy(url, timeout=5):
                if server.given_up or time.monotonic() > deadline:
                    raise UserError(
                        f"Prefect's embedded server did not start ({server.last_words()}); "
                        "`vesselforge doctor` checks what it needs, and `python -m "
                        "vesselforge.flows.serving.embedded` shows all it says"
                    )
                time.sleep(0.1)
            _running = True
            yield url
        finally:
            _running = False
            server.stop()


class _Server:
    """The server's process, and a thread that starts another one when it ends by itself.

    What it knew is in its database, so a client that tries again hardly notices.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.given_up = False
        self._listener = listener
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (until `stop`)
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        self._stopping.set()
        self._keeper.join()
        self._said.close()

    def last_words(self) -> str:
        """The last line on its standard error: of a traceback, the exception."""
        fd = self._said.fileno()  # with a position that belongs to the server, too
        end = os.pread(fd, LAST_BYTES, max(0, os.fstat(fd).st_size - LAST_BYTES))
        lines = end.decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def _keep(self) -> None:
        for _ in range(STARTS):
            process = self._start()
            while process.poll() is None and not self._stopping.wait(0.1):
                pass
            stop_group(process, grace=5)
            if self._stopping.is_set():
                return
        self.given_up = True
        self._listener.close()  # requests are refused now, where they would wait for nobody

    def _start(self) -> subprocess.Popen[str]:
        number = self._listener.fileno()
        return subprocess.Popen(
            [*COMMAND, str(number)],
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            text=True,
            start_new_session=True,
            pass_fds=[number],
        )


def private() -> bool:
    """Whether the server in use serves this run alone."""
    return _running


def healthy(url: str, timeout: float = 1.0) -> bool:
    """Does a Prefect API answer at this address?"""
    return answers(f"{url.rstrip('/')}/health", timeout)


def answers(url: str, timeout: float = 1.0) -> bool:
    """Is there something at this address?"""
    try:
        if not url.startswith(("http://", "https://")):  # file:// would be answered, too
            return False
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 (looked at above)
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def main() -> None:
    """The server's process: serves until it is stopped, on the socket whose descriptor is given
    or, for someone who wants to see what it says, on one of its own."""
    die_with_parent(signal.SIGTERM)
    given = sys.argv[1:]
    listener = socket.socket(fileno=int(given[0])) if given else socket.create_server(LOOPBACK)
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(create_app(ephemeral=True, final=True), log_level="error")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
