"""What ends `vesselforge serve`; with real services: tests/end_to_end/test_endings.py."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest
from prefect.settings import PREFECT_HOME, temporary_settings

from vesselforge.configs.errors import UserError
from vesselforge.flows.serving import serve as serving

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One in which something can be served; what serving changes in this process is undone."""
    (tmp_path / "prefect.yaml").touch()
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    with patch.dict(os.environ), temporary_settings({PREFECT_HOME: tmp_path / "home"}):
        yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_any_request_to_stop_ends_it_and_what_it_runs(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    class Pretended:
        def keep_up(self) -> None:
            os.kill(os.getpid(), number)

    def start(running: ExitStack, url: str, limit: int) -> tuple[Pretended]:
        running.callback(told.append, f"{url} is stopped")
        return (Pretended(),)

    monkeypatch.setattr(serving, "_start", start)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    serving.serve(port)

    assert told == [f"http://127.0.0.1:{port} is stopped"]
    assert signal.getsignal(number) == signal.SIG_IGN  # stopping is not stopped


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} on 127.0.0.1 cannot be used"):
            serving.serve(port)


def test_a_page_that_asks_elsewhere_is_called_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_UI_API_URL", "http://old:4200/api")
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(UserError):
        serving.serve(listener.getsockname()[1])
    said = capsys.readouterr().err
    assert said.startswith("PREFECT_UI_API_URL=http://old:4200/api: Prefect's page asks there")


def test_a_database_of_a_newer_prefect_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with sqlite3.connect(tmp_path / "home" / "prefect.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
    with pytest.raises(UserError, match=r"prefect.db: a newer Prefect"):
        serving.serve(1)
