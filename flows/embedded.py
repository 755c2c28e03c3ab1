"""Prefect's server inside one run: on a free port of the loopback, gone when the run is.

Prefect can start such a server itself, but a killed run leaves that one behind, and Ctrl-C stops
it before the run has reported its end. This one has a session of its own and dies with us.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from configs.errors import UserError
from data.processes import die_with_parent, stop_group

START_S = 120.0
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # of SQLite's lock, on a busy machine
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the page of the run shows the log
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


@contextlib.contextmanager
def embedded_server() -> Iterator[str]:
    """A Prefect API without page and scheduler; yields its address."""
    global _running
    server = subprocess.Popen(
        [sys.executable, "-m", "flows.embedded"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/api"
        deadline = time.monotonic() + START_S
        while not healthy(url):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    "Prefect's embedded server did not start; see what it says with "
                    "`python -m flows.embedded`"
                )
            time.sleep(0.1)
        _running = True
        yield url
    finally:
        _running = False
        stop_group(server, grace=5)


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
    """The server's process: prints the port it listens on, then serves until it is stopped."""
    die_with_parent(signal.SIGTERM)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(create_app(ephemeral=True, final=True), log_level="error")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
