"""Servers that are asked for and do not serve us: one line says who answers and what to do."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vesselforge.configs.errors import UserError
from vesselforge.flows.serving.embedded import api
from vesselforge.flows.serving.own_settings import own_settings
from vesselforge.flows.serving.servers import check_server

pytestmark = pytest.mark.slow
PASSWORD = "me:secret"  # noqa: S105 (a test's)
Serve = Callable[[str, int, str], str]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Answers everything with this type, status and text, without the password with 401 if the
    status is 401. Returns the address."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    servers = []

    def serving(kind: str, status: int, text: str) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                expected = "Basic " + base64.b64encode(PASSWORD.encode()).decode()
                known = self.headers.get("Authorization") == expected
                self.send_response(200 if status == 401 and known else status)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/api"

    yield serving
    for server in servers:
        server.shutdown()
        server.server_close()


def asked(url: str) -> str:
    with own_settings(url):
        return check_server(url)


@pytest.mark.parametrize(
    ("kind", "status", "text", "message"),
    [
        ("text/html", 200, "<html>hello</html>", "another service than Prefect's"),
        ("application/json", 200, '{"status": "ok"}', "another service than Prefect's"),
        ("application/json", 404, "{}", "another service than Prefect's"),
        ("application/json", 500, "{}", "another service than Prefect's"),
        ("application/json", 401, '"3.8.8"', "does not let us in; set PREFECT_API_AUTH_STRING"),
        ("application/json", 200, '"2.20.1"', "is Prefect 2.20.1, to which Prefect 3"),
        ("application/json", 200, '"4.0.0"', "is Prefect 4.0.0, to which Prefect 3"),
    ],
)
def test_who_does_not_serve_us(
    kind: str, status: int, text: str, message: str, serve: Serve
) -> None:
    url = serve(kind, status, text)
    with pytest.raises(UserError, match=rf"^{url}: .*{message}"):
        asked(url)


def test_with_the_password_it_does(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", PASSWORD)
    assert asked(serve("application/json", 401, json.dumps("3.9.1"))) == "3.9.1"


@pytest.mark.parametrize(
    "url", ["http://me:secret@127.0.0.1:9/api", "file:///etc/passwd", "http://["]
)
def test_nobody_and_nonsense(url: str, serve: Serve) -> None:
    with pytest.raises(UserError, match=r"Prefect server|Prefect's settings: ") as refused:
        asked(url)
    assert "secret" not in str(refused.value)


def test_a_run_uses_the_one_that_it_is_given(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    given = serve("application/json", 200, '"3.8.8"')
    with api(given) as url:
        assert url == given
    with pytest.raises(UserError, match=r"127.0.0.1:9/api: no Prefect server answers"), api():
        raise AssertionError("nobody is there")
