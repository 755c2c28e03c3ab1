"""Prefect's servers as a run finds them: whether they answer, are Prefect's, and let us in; and
whether a database is one that this Prefect can use. Imports Prefect when asked."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import urlsplit

from vesselforge.configs.errors import UserError

DATABASE = "prefect.db"
"""In Prefect's home."""
ANSWER_S = 5.0
HOW = "name another with --server or PREFECT_API_URL, or neither, and the run brings its own along"
LET_IN = "set PREFECT_API_AUTH_STRING to the server's (user:password), or PREFECT_API_KEY"
AWAY = "move it away: it holds Prefect's record of runs, and no work is lost"


def check_server(url: str) -> str:
    """The version of the Prefect server there. Call it inside `own_settings(url)`.

    Raises UserError, one line, where nobody answers, another service does, it does not let us in,
    or its version does not go with ours.
    """
    import httpx
    from prefect.client.base import ServerType
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    shown = without_password(url)
    other = UserError(
        f"{shown}: another service than Prefect's API, whose address ends in /api, answers there; "
        f"{HOW}"
    )
    if not url.startswith(("http://", "https://")):
        raise UserError(f"{shown}: expected the address of a Prefect server, http://…/api; {HOW}")
    once = {PREFECT_CLIENT_MAX_RETRIES: 0}
    try:
        with (
            temporary_settings(once),
            get_client(sync_client=True, httpx_settings={"timeout": ANSWER_S}) as client,
        ):
            here = client.client_version()
            if client.server_type == ServerType.CLOUD:  # it has no versions; all of 3 go with it
                client._client.get("/health")
                return here
            there = client.api_version()
    except httpx.HTTPStatusError as error:
        if error.response.status_code in (401, 403):
            raise UserError(f"{shown}: Prefect's server does not let us in; {LET_IN}") from None
        raise other from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = type(error).__name__
        raise UserError(
            f"{shown}: no Prefect server answers there ({why}); start it (`vesselforge serve`), or "
            f"{HOW}"
        ) from None
    except ValueError:  # no JSON
        raise other from None
    if not isinstance(there, str) or not there[:1].isdigit():
        raise other
    if there.split(".")[0] != here.split(".")[0]:
        raise UserError(
            f"{shown}: is Prefect {there}, to which Prefect {here}, used here, cannot talk; {HOW}"
        )
    return there


def check_database(file: Path) -> None:
    """Raises UserError for a SQLite database that a newer Prefect has made, or that is none."""
    if not file.is_file():
        return
    import prefect

    try:
        with contextlib.closing(
            sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)
        ) as db:
            found = db.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:  # not there yet, or in use
        return
    except sqlite3.DatabaseError as error:
        raise UserError(f"{file}: is damaged ({error}); {AWAY}") from None
    made = Path(prefect.__file__).parent / "server/database/_migrations/versions/sqlite"
    if found and not any(f'"{found[0]}"' in path.read_text() for path in made.glob("*.py")):
        raise UserError(
            f"{file}: a newer Prefect than this {prefect.__version__} has made this database "
            f"(revision {found[0]}); install that version, or {AWAY}"
        )


def without_password(url: str) -> str:
    """A server's address as it may be shown."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return "its URL cannot be read"
