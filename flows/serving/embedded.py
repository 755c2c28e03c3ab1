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
from collections.abc import Iterator
from typing import Any

from vesselforge.configs.errors import UserError
from vesselforge.engine.processes.lifetimes import die_with_parent
from vesselforge.flows.serving.service import Service, answers

LOOPBACK = ("127.0.0.1", 0)
"""A free port of it."""
COMMAND = [sys.executable, "-m", "vesselforge.flows.serving.embedded"]
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # of SQLite's lock, on a busy machine
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the page of the run shows the log
    "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",  # a dump of every event that a lost server misses
    "PREFECT_LOGGING_EXTRA_LOGGERS": "vesselforge",
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

    What it knows is in its database, so a client that tries again hardly notices when it ends and
    is started again. Raises UserError when it cannot be started, with the reason.
    """
    global _running
    over = threading.Event()

    def why() -> str:
        said.seek(0)  # the server appends
        words = said.read().strip().splitlines() or ["it said nothing"]
        return (
            f" ({words[-1].strip()}); `vesselforge doctor` checks what it needs, and `python -m "
            "vesselforge.flows.serving.embedded` shows all it says"
        )

    def keep() -> None:
        try:
            while not over.wait(0.1):
                server.keep_up()
        except UserError:
            listener.close()  # requests are refused now, where they would wait for nobody

    with socket.create_server(LOOPBACK) as listener, tempfile.TemporaryFile("a+") as said:
        number = listener.fileno()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        server = Service(
            "Prefect's embedded server",
            [*COMMAND, str(number)],
            f"{url}/health",
            lambda _: None,
            why=why,
            grace=5.0,
            stdout=subprocess.DEVNULL,
            stderr=said,
            pass_fds=[number],
        )
        with server.running():
            keeper = threading.Thread(target=keep, daemon=True)
            keeper.start()
            _running = True
            try:
                yield url
            finally:
                _running = False
                over.set()
                keeper.join()


def private() -> bool:
    """Whether the server in use serves this run alone."""
    return _running


def healthy(url: str, timeout: float = 1.0) -> bool:
    """Does a Prefect API answer at this address?"""
    return answers(f"{url.rstrip('/')}/health", timeout)


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
