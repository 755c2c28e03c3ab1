"""The gallery on the loopback, until it is asked to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from vesselforge.configs.errors import UserError
from vesselforge.engine.processes.stopping import stop_signals
from vesselforge.pipeline.record import read_run

LAST_ANSWERS_S = 2
"""For requests that are being answered when it is asked to stop."""


def serve_gallery(workspace: Path, run: str | None, port: int, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM. run: name or folder, None for none. port: 0 for a free one.
    say: told the address.

    Raises WorkspaceError for no run, UserError for a port that is taken.
    """
    folder = None if run is None else read_run(workspace, run)[0].absolute()
    try:
        listener = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise UserError(
            f"port {port} on 127.0.0.1 cannot be used ({error.strerror}); stop what uses it or "
            "give another --port"
        ) from None
    import uvicorn

    from vesselforge.report.gallery.app import gallery_app

    with listener, suppress(KeyboardInterrupt):
        for number in stop_signals():
            signal.signal(number, signal.default_int_handler)
        app = gallery_app(workspace, folder)
        config = uvicorn.Config(
            app,
            log_level="warning",
            timeout_graceful_shutdown=LAST_ANSWERS_S,
            server_header=False,
            ws="none",
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        say(f"{run or 'the networks that come with VesselForge'}: {url} — Ctrl-C stops")
        uvicorn.Server(config).run(sockets=[listener])
