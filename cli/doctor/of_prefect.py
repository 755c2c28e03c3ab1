"""What `vesselforge doctor` says of Prefect: its databases, its server, what others have left."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vesselforge.cli.doctor.machine import Finding
from vesselforge.configs.errors import UserError
from vesselforge.flows.serving.own_settings import asked_for, own_home, own_settings

SERVER = "Prefect server"


def prefect() -> Iterator[Finding]:
    """What a run and `serve` would find."""
    yield from profile()
    yield from page_asks()
    url = asked_for()
    try:
        with own_settings(url):
            found = [*databases(), *server(url)]
    except UserError as error:
        found = [Finding("Prefect", str(error), "broken", "no run can start without")]
    except Exception as error:  # an import may fail in any way when versions do not fit
        hint = "see the packages above; `pip install -c constraints.txt -e .` in the repository"
        found = [Finding("Prefect", f"cannot be imported: {error}", "broken", hint)]
    yield from found


def profile() -> Iterator[Finding]:
    """A profile of Prefect's, which its own commands read and ours do not."""
    name = "Prefect profile"
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    file = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        active = str(os.environ.get("PREFECT_PROFILE") or content.get("active"))
        settings = content.get("profiles", {}).get(active, {})
    except OSError:  # there is none
        return
    except (ValueError, AttributeError) as error:
        hint = "mend it or move it away; our commands do not read it, but those of `prefect` do"
        yield Finding(name, f"{file}: cannot be read ({error})", "warning", hint)
        return
    if "PREFECT_API_URL" in settings:
        yield Finding(name, f"{file}: {active} names a server; runs use it only with --server")


def page_asks() -> Iterator[Finding]:
    """A setting that makes the page of `serve` talk to another server."""
    for name in ("PREFECT_SERVER_UI_API_URL", "PREFECT_UI_API_URL"):
        if url := os.environ.get(name):
            from vesselforge.flows.serving.servers import without_password

            hint = f"unset {name}, unless a proxy leads from there to the server"
            told = f"{without_password(url)}: the page of `vesselforge serve` asks there"
            yield Finding("Prefect page", told, "warning", hint)


def databases() -> Iterator[Finding]:
    """That of `vesselforge run`, and that of `serve` in this folder."""
    from vesselforge.flows.serving.servers import DATABASE, check_database

    for home in (own_home(), Path(".prefect")):
        try:
            check_database(home / DATABASE)
        except UserError as error:
            file, _, what = str(error).partition(": ")
            found, _, hint = what.partition("; ")
            yield Finding("Prefect database", f"{file}: {found}", "broken", hint)


def server(url: str | None) -> Iterator[Finding]:
    """The server that was asked for: does it serve us, does it fit, who works for it? Inside
    `own_settings(url)`."""
    if not url:
        yield Finding(SERVER, "none asked for: each run brings its own along")
        return
    from prefect.client.orchestration import get_client

    from vesselforge.flows.serving.servers import check_server, without_password

    shown = without_password(url)
    try:
        there = check_server(url)
        with get_client(sync_client=True) as client:
            here, pool = client.client_version(), work_pool(client)
    except UserError as error:
        told, _, hint = str(error).partition("; ")
        yield Finding(SERVER, told, "broken", hint)
        return
    except Exception as error:  # of an older server, say: told, not raised
        told = f"{shown}: does not serve us ({' '.join(str(error).split())[:200]})"
        yield Finding(SERVER, told, "broken", "is it a Prefect 3.8?")
        return
    if there.split(".")[:2] == here.split(".")[:2]:
        yield Finding(SERVER, f"{shown}: answers, version {there}")
    else:
        hint = f"`pip install prefect=={there}` here, or {here} where the server runs"
        yield Finding(SERVER, f"{shown}: version {there}, but {here} here", "warning", hint)
    yield pool


def work_pool(client: Any) -> Finding:
    """Who works for the server."""
    from prefect.exceptions import ObjectNotFound

    from vesselforge.flows.serving.deployments import POOL

    hint = "`vesselforge serve`, or `prefect worker start --pool local`"
    try:
        paused = client.read_work_pool(POOL).is_paused
    except ObjectNotFound:
        return Finding("work pool", f"{POOL}: none", "warning", hint)
    states = [worker.status.value for worker in client.read_workers_for_work_pool(POOL)]
    told = f"{POOL}: {states.count('ONLINE')} worker(s) online{'; paused' if paused else ''}"
    if paused or "ONLINE" not in states:
        hint = f"`prefect work-pool resume {POOL}`" if paused else hint
        return Finding("work pool", told, "warning", hint)
    return Finding("work pool", told)
