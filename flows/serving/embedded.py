"""Prefect's server inside one run: on a free port of the loopback, gone when the run is.

Prefect can start such a server itself, but a killed run leaves that one behind, and Ctrl-C stops
it before the run has reported its end. This one has a session of its own and dies with us. The
socket is ours: when the server is killed another one goes on, and requests wait there meanwhile.
"""

from __future__ import annotations

import contextlib
import queue
import re
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
from vesselforge.flows.serving.own_settings import asked_for, own_home, own_settings
from vesselforge.flows.serving.servers import DATABASE, check_database, check_server
from vesselforge.flows.serving.service import Service

LOOPBACK = ("127.0.0.1", 0)
"""A free port of it."""
COMMAND = [sys.executable, "-m", "vesselforge.flows.serving.embedded"]
REASON = re.compile(r"[\w.]*(Error|Exception|Revision)\b.*: ")
"""How the line begins that says why, at the end of a traceback; more may follow it."""
_running = False


@contextlib.contextmanager
def api(server: str | None = None) -> Iterator[str]:
    """The address of the server to use: the given one, that of the environment, or else one that
    lives as long as this. Inside, Prefect has our settings.

    Imports Prefect. Raises UserError when the one that was asked for does not serve us.
    """
    asked = server or asked_for()
    with own_settings(asked):
        if asked:
            check_server(asked)
            yield asked
            return
        check_database(own_home() / DATABASE)
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with embedded_server() as url, temporary_settings({PREFECT_API_URL: url}):
            try:
                yield url
            finally:
                _send_what_is_left()


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
        reason = next(filter(REASON.match, reversed(words)), words[-1])
        return (
            f" ({reason.strip()}); `vesselforge doctor` checks what it needs, and `python -m "
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


def main() -> None:
    """The server's process: serves until it is stopped, on the socket whose descriptor is given
    or, for someone who wants to see what it says, on one of its own."""
    die_with_parent(signal.SIGTERM)
    given = sys.argv[1:]
    listener = socket.socket(fileno=int(given[0])) if given else socket.create_server(LOOPBACK)
    with own_settings(None):
        import uvicorn
        from prefect.server.api.server import create_app

        config = uvicorn.Config(create_app(ephemeral=True, final=True), log_level="error")
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
