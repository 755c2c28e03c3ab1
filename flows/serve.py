"""Prefect's server, a process worker and all deployments, in one command and on the loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import typer

from configs.errors import UserError
from data.processes import die_with_parent, stop_group
from flows.deployments import POOL
from flows.embedded import START_S, answers

STOP_S = 40.0
"""A run saves its checkpoint within Prefect's 30 s; then the worker ends."""


class _Stopped(Exception):
    """SIGINT or SIGTERM arrived."""


def serve(port: int) -> None:
    """Serve until Ctrl-C or SIGTERM. Leaves no process behind.

    Raises UserError when there is nothing to deploy here or the port is taken.
    """
    if not Path("prefect.yaml").is_file():
        raise UserError("prefect.yaml: not in this folder; run this in the repository's root")
    url = f"http://127.0.0.1:{port}"
    _check_port(port)
    environment = os.environ | {
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"{url},http://localhost:{port}",
        "DO_NOT_TRACK": "1",
    }
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    with contextlib.suppress(_Stopped), contextlib.ExitStack() as running:
        server = _start(running, ["server", "start"], environment, quiet=True)
        _wait(server, f"{url}/api/health", "the server")
        worker = _start(
            running,
            ["worker", "start", "--pool", POOL, "--type", "process", "--limit", "1"],
            environment,
        )
        _wait(worker, f"{url}/api/work_pools/{POOL}", "the worker")
        deploy = _start(running, ["--no-prompt", "deploy", "--all"], environment, quiet=True)
        if deploy.wait():
            raise UserError("`prefect deploy --all` failed; see above")
        typer.echo(f"serving {url} — Ctrl-C stops; start a run there, or with")
        typer.echo(f"  PREFECT_API_URL={url}/api prefect deployment run \\")
        typer.echo("    augmentation-pipeline/quickstart --watch")
        while server.poll() is None and worker.poll() is None:
            time.sleep(0.5)
        raise UserError("the server or the worker ended by itself; see above")


def _check_port(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise UserError(
            f"port {port} on 127.0.0.1 cannot be used ({error.strerror}); stop what uses it or "
            "give another --port"
        ) from None


def _start(
    running: contextlib.ExitStack,
    arguments: list[str],
    environment: dict[str, str],
    quiet: bool = False,
) -> subprocess.Popen[str]:
    """A Prefect command that is stopped when `running` closes, the last one first."""
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if quiet else None,
        text=True,
        start_new_session=True,
        preexec_fn=_in_the_child,  # no threads here yet, so it is safe
    )
    running.callback(stop_group, process, STOP_S)
    return process


def _in_the_child() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a worker with it ignored never ends
    die_with_parent(signal.SIGTERM)


def _wait(process: subprocess.Popen[str], url: str, what: str) -> None:
    deadline = time.monotonic() + START_S
    while not answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise UserError(f"{what} did not start within {START_S:.0f} s; see above")
        time.sleep(0.2)


def _stop(*_: object) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # once is enough: stopping takes seconds
        signal.signal(number, signal.SIG_IGN)
    raise _Stopped
