"""Prefect: its database, and the server, if one is configured."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from vesselforge.cli.doctor.finding import Finding
from vesselforge.flows.serving.deployments import POOL
from vesselforge.flows.serving.embedded import healthy

ANSWER_S = 5.0


def findings() -> Iterator[Finding]:
    """What a run would find."""
    try:
        from prefect.settings import get_current_settings
    except Exception as error:  # an import may fail in any way when versions do not fit
        hint = "see the packages above; `pip install -c constraints.txt -e .` in the repository"
        yield Finding("Prefect", f"cannot be imported: {error}", "broken", hint)
        return
    settings = get_current_settings()
    url = settings.server.database.connection_url
    if url is not None:
        yield database(url.get_secret_value(), needed=not settings.api.url)
    yield from server(settings.api.url)


def database(url: str, needed: bool = True) -> Finding:
    """The configured database of servers that are started here, its password left out.

    needed: runs embed a server, which would use it.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    name, where = "Prefect database", "PREFECT_SERVER_DATABASE_CONNECTION_URL"
    try:
        parsed = make_url(url)
    except ArgumentError:
        hint = f"give {where} as postgresql+asyncpg://USER:PASSWORD@HOST:PORT/NAME, or unset it"
        return Finding(name, "its URL cannot be read", "broken", hint)
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() != "postgresql":
        return Finding(name, shown)
    if parsed.get_driver_name() != "asyncpg":
        hint = f"begin {where} with postgresql+asyncpg://"
        return Finding(name, f"{shown}: Prefect needs the driver asyncpg", "broken", hint)
    host = str(parsed.query.get("host") or parsed.host or "localhost")
    if host.startswith("/"):  # a socket's folder
        return Finding(name, shown)
    try:
        socket.create_connection((host, parsed.port or 5432), timeout=ANSWER_S).close()
    except OSError as error:
        told, hint = (
            f"{shown}: no answer ({error.strerror or error})",
            f"start it, or unset {where}",
        )
        return Finding(name, told, "broken" if needed else "warning", hint)
    return Finding(name, f"{shown}: answers")


def server(url: str | None) -> Iterator[Finding]:
    """The configured server: does it answer, does it fit, who works for it?"""
    name = "Prefect server"
    if not url:
        yield Finding(name, "none configured: each run embeds its own")
        return
    shown = _without_password(url)
    if not healthy(url, timeout=ANSWER_S):
        hint = "start it (`vesselforge serve`), or unset PREFECT_API_URL to embed one in each run"
        yield Finding(name, f"{shown}: no answer", "broken", hint)
        return
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        try:
            there, here = client.api_version(), client.client_version()
            found = _pool(client)
        except Exception as error:  # refused, an older server, no JSON: told, not raised
            hint = "is PREFECT_API_AUTH_STRING that of the server, and the server a Prefect 3.8?"
            told = f"{shown}: does not serve us ({' '.join(str(error).split())[:200]})"
            yield Finding(name, told, "broken", hint)
            return
    if there.split(".")[:2] == here.split(".")[:2]:
        yield Finding(name, f"{shown}: answers, version {there}")
    else:
        told = f"{shown}: version {there}, but {here} here"
        hint = f"`pip install prefect=={there}` here, or {here} where the server runs"
        yield Finding(name, told, "warning", hint)
    yield found


def _pool(client: Any) -> Finding:
    from prefect.exceptions import ObjectNotFound

    name, hint = "work pool", "`vesselforge serve`, or `prefect worker start --pool local`"
    try:
        pool = client.read_work_pool(POOL)
    except ObjectNotFound:
        return Finding(name, f"{POOL}: none", "warning", hint)
    states = [worker.status.value for worker in client.read_workers_for_work_pool(POOL)]
    told = f"{POOL}: {states.count('ONLINE')} worker(s) online"
    if pool.is_paused:
        return Finding(name, f"{told}; paused", "warning", f"`prefect work-pool resume {POOL}`")
    if "ONLINE" not in states:
        return Finding(name, told, "warning", hint)
    return Finding(name, told)


def _without_password(url: str) -> str:
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return "its URL cannot be read"
