"""Prefect's server inside a run: killed, it is replaced; given up, the run says so in a line."""

from __future__ import annotations

import os
import queue
import signal
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from prefect.events.worker import EventsWorker

from vesselforge.configs.errors import UserError
from vesselforge.configs.load import load
from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.processes.reporting import StageCrashed
from vesselforge.engine.sinks.display import Display
from vesselforge.flows import launch
from vesselforge.flows.serving import embedded
from vesselforge.flows.serving.service import answers

pytestmark = pytest.mark.slow

PRETENDED = """
import os, socket, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
    def log_message(self, *_): pass
server = HTTPServer(("127.0.0.1", 0), Answer, bind_and_activate=False)
server.socket = socket.socket(fileno=int(sys.argv[1]))
server.serve_forever()
"""
"""A server on the given socket that answers everything with its process."""


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "COMMAND", [sys.executable, "-c", PRETENDED])


def ask(url: str) -> int:
    with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:  # noqa: S310 (ours)
        return int(answer.read())


def test_a_killed_server_is_replaced_and_requests_wait_for_it() -> None:
    with embedded.embedded_server() as url:
        assert embedded.private()
        first = ask(url)
        os.kill(first, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{first}").exists())
        second = ask(url)  # sent when nobody may be there yet
        assert second != first
    until(lambda: not Path(f"/proc/{second}").exists())
    assert not answers(f"{url}/health")


def test_a_server_that_always_ends_is_given_up_with_its_own_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which is not always the last line that it says."""
    failing = "import sys; sys.excepthook = lambda *e: (sys.__excepthook__(*e), print('bye', "
    failing += "file=sys.stderr)); import asyncpg_"
    monkeypatch.setattr(embedded, "COMMAND", [sys.executable, "-c", failing])
    why = r"did not start \(ModuleNotFoundError: No module named 'asyncpg_'\); .*doctor"
    with pytest.raises(UserError, match=why), embedded.embedded_server():
        raise AssertionError("nobody serves")


REQUEST = httpx.Request("POST", "http://127.0.0.1:9/api/flow_runs/")


@pytest.mark.parametrize(
    ("error", "ends", "message"),
    [
        (httpx.ConnectError("refused"), StageCrashed, "no longer answers"),
        (
            httpx.HTTPStatusError("old", request=REQUEST, response=httpx.Response(422)),
            UserError,
            r"refuses what this version asks of it \(/api/flow_runs/: HTTP 422\)",
        ),
    ],
)
def test_a_server_that_fails_in_between_ends_the_run_in_one_line(
    error: Exception,
    ends: type[Exception],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    @contextmanager
    def api(server: str | None):
        yield "http://127.0.0.1:9/api"

    events: queue.Queue[str] = queue.Queue()
    events.put("nobody takes this")

    def failed(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(launch, "api", api)
    monkeypatch.setattr(launch, "resolve_name", lambda name: failed)
    monkeypatch.setattr(EventsWorker, "_instances", {1: SimpleNamespace(_queue=events)})
    with pytest.raises(ends, match=rf"http://127.0.0.1:9/api: .* {message}"):
        launch.launch("a flow", load(PipelineConfig, "quickstart"), tmp_path, Display())
    assert events.empty()  # or the process would try for seconds, for each, before it ends


def until(true: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
