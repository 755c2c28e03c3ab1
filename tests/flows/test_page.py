"""`vesselforge serve` shows reports beside Prefect's page, and runs link to them there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_SERVER_API_AUTH_STRING,
    temporary_settings,
)
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from vesselforge.flows import notes
from vesselforge.flows.serving.page import ADDRESS, report

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VESSELFORGE_WORKSPACE", str(tmp_path / "ws"))
    found = tmp_path / "ws" / "runs" / "mine" / "report.html"
    found.parent.mkdir(parents=True)
    found.write_text("<html>mine</html>")
    return found


@pytest.fixture
def client() -> TestClient:
    return TestClient(Starlette(routes=[Route(ADDRESS, report)]))


def test_reports_are_shown_by_name_and_nothing_else(page: Path, client: TestClient) -> None:
    shown = client.get("/reports/mine")
    assert (shown.status_code, shown.content) == (200, page.read_bytes())
    assert "sandbox" in shown.headers["Content-Security-Policy"]
    (page.parents[1] / "report.html").write_text("not a run's")
    for name in ("other", "..", "%2e%2e", "mine%2f..", "Mine"):
        assert client.get(f"/reports/{name}").status_code == 404


def test_they_have_the_servers_password(page: Path, client: TestClient) -> None:
    with temporary_settings({PREFECT_SERVER_API_AUTH_STRING: "me:secret"}):
        assert client.get("/reports/mine").status_code == 401
        assert client.get("/reports/mine", auth=("me", "wrong")).status_code == 401
        assert client.get("/reports/mine", auth=("me", "secret")).status_code == 200


def test_a_run_links_to_its_report_where_the_server_shows_this_very_page(
    page: Path, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    def create(markdown: str, **_: Any) -> None:
        written.append(markdown)

    monkeypatch.setattr(notes, "create_markdown_artifact", create)
    monkeypatch.setattr(notes, "_again", 0.0)
    monkeypatch.setattr(httpx, "get", lambda url, auth, timeout: client.get(url, auth=auth))
    settings: dict[Any, Any] = {
        PREFECT_API_URL: "http://127.0.0.1:4300/api",
        PREFECT_API_AUTH_STRING: "me:secret",
        PREFECT_SERVER_API_AUTH_STRING: "me:secret",
    }
    with temporary_settings(settings):
        notes.publish_report(page)
        elsewhere = Path(shutil.copytree(page.parents[2], page.parents[3] / "elsewhere"))
        another = elsewhere / "runs" / "mine" / page.name
        another.write_text("another run of that name")
        notes.publish_report(another)
    link = "http://127.0.0.1:4300/reports/mine"
    assert written == [f"[Report of mine]({link}), `{page}`", f"Report: `{another}`"]


def test_make_serve_takes_a_port() -> None:
    said = subprocess.run(
        # "make test" hands its own flags on, and a make within a make says the folder it leaves
        ["make", "--no-print-directory", "-n", "serve", "PORT=4300", "LIMIT=2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert said.stdout.splitlines()[-1].endswith("vesselforge serve --port 4300 --limit 2")
