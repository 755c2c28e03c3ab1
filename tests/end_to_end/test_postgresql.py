"""Prefect's server on PostgreSQL instead of SQLite: what two runs at once record is there."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import REPOSITORY, environment, free_port, manifests, running, until

from vesselforge.flows.serving.service import answers

PROGRAMS = max(
    Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda p: float(p.parts[-2])
)
"""Of the newest PostgreSQL of Debian's or Ubuntu's packages."""
FLOW = Path(__file__).parents[1] / "helpers" / "preparation.py"
PASSWORD = secrets.token_hex(8)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(PROGRAMS is None, reason="no PostgreSQL: `apt-get install postgresql`"),
]


@pytest.fixture
def database() -> Iterator[str]:
    """`user:password@host:port/name` of an empty database, in a server of its own.

    It lies not below pytest's folder, where root alone may go: PostgreSQL refuses to run as root.
    """
    with tempfile.TemporaryDirectory(prefix="vesselforge-postgresql-") as name:
        server, where = start(Path(name))
        try:
            until(
                lambda: ask(f"{where}/postgres", "CREATE DATABASE prefect") is not None, every=0.2
            )
            yield f"{where}/prefect"
        finally:
            server.send_signal(signal.SIGINT)  # disconnect clients, then end
            server.wait(60)


def start(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A PostgreSQL on a free port of the loopback, and `user:password@host:port` of it."""
    assert PROGRAMS is not None
    password, data, port = folder / "password", folder / "data", free_port()
    password.write_text(PASSWORD)
    how: dict[str, Any] = {"stdout": subprocess.DEVNULL, "cwd": folder}
    if os.geteuid() == 0:
        how |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        for path in (folder, password):
            shutil.chown(path, "postgres")
    command = [PROGRAMS / "initdb", "-D", data, "-U", "prefect", "--auth=scram-sha-256"]
    subprocess.run(
        [*command, f"--pwfile={password}", "--encoding=UTF8", "--no-sync"], check=True, **how
    )
    options = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off")
    command = [PROGRAMS / "postgres", "-D", data, "-p", str(port)]
    command += [part for option in options for part in ("-c", option)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, **how)
    return server, f"prefect:{PASSWORD}@127.0.0.1:{port}"


def ask(database: str, question: str) -> list[Any] | None:
    """Rows; None while no server answers. By asyncpg, which Prefect uses, too."""
    import asyncpg

    async def rows() -> list[Any]:
        connection = await asyncpg.connect(f"postgresql://{database}", ssl=False)
        try:
            return list(await connection.fetch(question))
        finally:
            await connection.close()

    try:
        return asyncio.run(rows())
    except (OSError, asyncpg.CannotConnectNowError):
        return None


def test_two_runs_at_once_are_recorded_in_postgresql(database: str, tmp_path: Path) -> None:
    port, home, names = str(free_port()), tmp_path / "home", ("one", "two")
    api = f"http://127.0.0.1:{port}/api"
    of_server = {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{database}",
        "PREFECT_SERVER_API_PORT": port,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = ["prefect", "server", "start", "--no-ui"]
    with running(command, environment(home, **of_server), tmp_path) as server:
        until(lambda: answers(f"{api}/health"), 200, every=0.2)
        env = environment(
            home,
            PREFECT_API_URL=api,
            PREFECT_LOGGING_EXTRA_LOGGERS="vesselforge",
            PYTHONPATH=str(REPOSITORY),  # what is installed has no benchmarks
        )
        commands = [[sys.executable, FLOW, tmp_path / "w", name] for name in names]
        runs = [subprocess.Popen(command, env=env, cwd=tmp_path) for command in commands]
        assert [run.wait(200) for run in runs] == [0, 0]
        server.send_signal(signal.SIGINT)  # what it still holds of events, it writes now
        assert server.wait(60) == 0, (tmp_path / "output.txt").read_text()

    finished = ask(database, "SELECT name FROM flow_run WHERE state_type = 'COMPLETED'")
    assert {row["name"] for row in finished or ()} == set(names)
    tasks = ask(database, "SELECT name FROM task_run WHERE state_type = 'COMPLETED'")
    assert [row["name"] for row in tasks or ()] == ["development images"] * 2
    artifacts = ask(database, "SELECT key FROM artifact")
    assert [row["key"] for row in artifacts or ()] == ["development-images"] * 2
    lines = ask(
        database, "SELECT message FROM log WHERE message LIKE 'development images%done in%'"
    )
    assert len(lines or ()) == 2
    assert not list((home / "prefect").glob("*.db"))
    assert len(manifests(tmp_path / "w")) == 1
