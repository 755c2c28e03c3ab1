"""Prefect's server, a process worker and all deployments, in one command and on the loopback."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

import typer

from vesselforge.configs.errors import UserError
from vesselforge.engine.processes.stopping import stop_signals
from vesselforge.flows.serving.deployments import POOL
from vesselforge.flows.serving.own_settings import NO_PROFILE
from vesselforge.flows.serving.servers import DATABASE, check_database
from vesselforge.flows.serving.service import Service

LOCK = "serve.lock"
PREFECT = [sys.executable, "-m", "vesselforge.flows.serving.attached"]
"""Prefect's command, which ends when its parent does."""
SERVER = [sys.executable, "-m", "vesselforge.flows.serving.page"]
LOOK_EVERY_S = 20.0
PAGE_ASKS = ("PREFECT_SERVER_UI_API_URL", "PREFECT_UI_API_URL")
ELSEWHERE = (
    "Prefect's page asks there, and not the server of `vesselforge serve`; unset the variable, "
    "unless a proxy leads from there to it"
)


def serve(port: int, limit: int = 1) -> None:
    """Serve until Ctrl-C or SIGTERM; runs that are at work then save their checkpoint and end.

    limit: runs at once. A server or worker that ends by itself is started again, not for ever.
    Leaves no process behind.

    Raises UserError when there is nothing to deploy here, the port is taken, another one serves
    here, or something ends again and again.
    """
    if not Path("prefect.yaml").is_file():
        raise UserError("prefect.yaml: not in this folder; run this in the repository's root")
    url = f"http://127.0.0.1:{port}"
    os.environ |= {
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"{url},http://localhost:{port}",
        "DO_NOT_TRACK": "1",
    } | NO_PROFILE
    for name in PAGE_ASKS:
        if os.environ.get(name, f"{url}/api") != f"{url}/api":
            typer.echo(f"{name}={os.environ[name]}: {ELSEWHERE}", err=True)
    with suppress(KeyboardInterrupt), _alone(url), ExitStack() as running:
        _check_port(port)
        for number in stop_signals():
            signal.signal(number, _stop)
        services = _start(running, url, limit)
        typer.echo(f"serving {url} — Ctrl-C stops; start a run there, or with")
        typer.echo(f"  PREFECT_API_URL={url}/api prefect deployment run \\")
        typer.echo("    augmentation-pipeline/quickstart --watch")
        _keep_up(services)


def _start(running: ExitStack, url: str, limit: int) -> tuple[Service, Service]:
    health, pool = f"{url}/api/health", f"{url}/api/work_pools/{POOL}"
    server = Service("the server", SERVER, health, typer.echo, stdout=subprocess.DEVNULL)
    running.enter_context(server.running())
    from vesselforge.flows.serving import automations, unfinished

    start = [*PREFECT, "worker", "start", "--pool", POOL, "--type", "process"]
    start += ["--limit", str(limit)]
    # While no worker runs, nothing can be on its way to one; one that is stopped kills its runs.
    dead = partial(_tried, unfinished.crash_the_dead)
    worker = Service("the worker", start, pool, typer.echo, first=dead)
    running.enter_context(worker.running())
    running.callback(_tried, unfinished.stop_all)
    deploy = [*PREFECT, "--no-prompt", "deploy", "--all"]
    if subprocess.run(deploy, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode:
        raise UserError("`prefect deploy --all` failed; see above")
    automations.apply()
    return server, worker


def _keep_up(services: Iterable[Service]) -> NoReturn:
    """Restart what ends, and every now and then see to the tasks of crashed runs."""
    look = time.monotonic()
    while True:
        for service in services:
            service.keep_up()
        if time.monotonic() >= look:
            from vesselforge.flows.serving.unfinished import crash_their_tasks

            look = time.monotonic() + LOOK_EVERY_S
            with suppress(Exception):  # a server on its way; next time, then
                crash_their_tasks()
        time.sleep(0.5)


def _tried(settle: Callable[[Callable[[str], None]], None]) -> None:
    """One of `unfinished`; what it does not get done the automation finds later."""
    try:
        settle(typer.echo)
    except Exception as error:
        typer.echo(f"the server did not see to its unfinished runs: {error}", err=True)


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """Two servers would share a database. Raises UserError when another one is at work."""
    from prefect.settings import PREFECT_HOME

    home = PREFECT_HOME.value()
    check_database(home / DATABASE)
    home.mkdir(parents=True, exist_ok=True)
    with (home / LOCK).open("a+") as lock:  # the kernel frees it when this process ends
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UserError(
                f"{home}: another `vesselforge serve` uses this folder, at {lock.read().strip()}; "
                "stop that one first"
            ) from None
        lock.truncate(0)
        lock.write(url)
        lock.flush()
        yield


def _check_port(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise UserError(
            f"port {port} on 127.0.0.1 cannot be used ({error.strerror}); stop what uses it or "
            "give another --port"
        ) from None


def _stop(*_: object) -> None:
    """SIGINT, SIGTERM or SIGHUP arrived; once is enough: stopping takes seconds."""
    for number in stop_signals():
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
