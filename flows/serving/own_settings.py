"""Prefect's settings for our own commands: nobody else's profile, home or database.

Prefect reads its settings from the environment, from a profile in ~/.prefect and from files in the
working folder. They may be another project's: an address, a key of Prefect's cloud, a database
that another version uses. A run that brings its server along obeys none of them. One that is
asked to use a server obeys the environment, which may hold the password, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from vesselforge.configs.errors import UserError, WorkspaceError

if TYPE_CHECKING:
    from prefect.context import SettingsContext

URL = "PREFECT_API_URL"
NO_PROFILE = {"PREFECT_PROFILES_PATH": os.devnull, "PREFECT_PROFILE": "ephemeral"}
"""Prefect's own default, which says nothing."""
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",  # no web page may use the server
    "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": "http://127.0.0.1",
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # of SQLite's lock, on a busy machine
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the page of the run shows the log
    "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",  # a dump of every event that a lost server misses
    "PREFECT_LOGGING_EXTRA_LOGGERS": "vesselforge",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # as in prefect.toml: automations/ relies on it
}


def asked_for() -> str | None:
    """The server that the environment asks for."""
    return os.environ.get(URL) or None


def own_home() -> Path:
    """The folder of Prefect's database of our runs. Each version has one: an older Prefect does
    not start with the database of a newer one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    return cache.absolute() / "vesselforge" / f"prefect-{version('prefect')}"


@contextmanager
def own_settings(url: str | None) -> Iterator[None]:
    """Inside, Prefect has our settings, here and in processes that are started, and talks to `url`
    if one is given. Imports Prefect.

    Raises UserError for settings of the environment that are none, and where there can be no home.
    """
    home, before = _made(own_home()), dict(os.environ)
    kept = {k: v for k, v in before.items() if url or not k.startswith("PREFECT_")}
    address = {URL: url} if url else {}
    _replace(QUIET | kept | NO_PROFILE | {"PREFECT_HOME": str(home)} | address)
    try:
        with chdir(home):  # no settings of a prefect.toml, pyproject.toml or .env
            context = _read()
        with context:
            yield
    finally:
        _replace(before)


def _read() -> SettingsContext:
    try:
        from prefect.context import SettingsContext
        from prefect.settings import Profile, Settings

        profile = Profile(name=NO_PROFILE["PREFECT_PROFILE"], settings={})
        return SettingsContext(profile=profile, settings=Settings())
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, one['loc']))} {one['msg']}" for one in error.errors()]
        why = "; ".join(wrong).strip()
        raise UserError(
            f"Prefect's settings: {why}; mend or unset the PREFECT_… variables of the environment, "
            "or --server"
        ) from None


def _made(home: Path) -> Path:
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(
            f"{home}: cannot be made ({error.strerror}), and Prefect's record of runs lies there; "
            "set XDG_CACHE_HOME to a folder of yours"
        ) from None
    return home


def _replace(environment: dict[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
