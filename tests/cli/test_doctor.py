"""The doctor names what would stop a run, and what to do about it; and never a password."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from vesselforge import pretrained
from vesselforge.cli.doctor import machine as examination
from vesselforge.cli.doctor import of_prefect
from vesselforge.cli.doctor.machine import GIB, Finding
from vesselforge.engine.files import file_sha256
from vesselforge.engine.sinks.board import SWITCH

pytestmark = pytest.mark.slow


def doctor(
    *arguments: str, workspace: Path, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "VESSELFORGE_"))}
    command = [
        sys.executable,
        "-m",
        "vesselforge",
        "doctor",
        "--workspace",
        str(workspace),
        *arguments,
    ]
    more = {"DO_NOT_TRACK": "1", "HOME": str(cwd / "home")} | environment
    path = os.pathsep.join([str(Path(__file__).parents[2]), kept.get("PYTHONPATH", "")])
    return subprocess.run(
        command, env=kept | more | {"PYTHONPATH": path}, cwd=cwd, capture_output=True, text=True
    )


def test_all_is_well_on_a_machine_that_can_run(tmp_path: Path) -> None:
    done = doctor("--json", workspace=tmp_path / "ws", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    names = {
        "memory",
        "device",
        "dataset drive",
        "package torch",
        "optional packages",
        "Prefect server",
    }
    assert names | {"model sa-unet-drive"} <= found.keys()
    assert found["dataset drive"]["found"].startswith("not found")  # and that is no defect
    assert found["dataset drive"]["state"] == "ok"


def test_a_damaged_model_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "ROOT", tmp_path)
    (tmp_path / "tiny").mkdir()
    weights, card = tmp_path / "tiny" / "w.safetensors", tmp_path / "tiny" / "card.json"
    weights.write_bytes(b"weights")
    files = {weights.name: file_sha256(weights)}
    card.write_text(json.dumps({"kind": "generator", "files": files}))
    assert list(examination.models()) == [Finding("model tiny", "generator, 0.0 MB")]
    weights.write_bytes(b"weightz")
    (found,) = examination.models()
    assert found.state == "broken" and found.found.startswith(f"{weights}: SHA-256 is ")


def test_what_would_stop_a_run_is_status_2_and_no_password_is_shown(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    theirs = tmp_path / "home" / ".prefect"
    theirs.mkdir(parents=True)
    (theirs / "profiles.toml").write_text("no TOML [")
    (tmp_path / ".prefect").mkdir()
    with sqlite3.connect(tmp_path / ".prefect" / "prefect.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('ffffffffffff')")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    done = doctor(
        workspace=tmp_path / "file",
        cwd=tmp_path,
        PREFECT_API_URL=f"http://me:secret@127.0.0.1:{port}/api",
        PREFECT_UI_API_URL="http://old:4200/api",
        **{SWITCH: "perhaps"},
    )
    assert done.returncode == 2
    lines = [line.split(": ")[:2] for line in done.stderr.splitlines()]
    assert lines == [
        ["broken", "workspace"],
        ["broken", "TensorBoard"],
        ["warning", "Prefect profile"],
        ["warning", "Prefect page"],
        ["broken", "Prefect database"],
        ["broken", "Prefect server"],
    ]
    assert f"http://127.0.0.1:{port}/api: no Prefect server answers there" in done.stderr
    assert "secret" not in done.stdout + done.stderr


@pytest.fixture
def having(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Name → version of what is pretended to be installed."""
    found: dict[str, str] = {}

    def version(package: str) -> str:
        if package not in found:
            raise PackageNotFoundError(package)
        return found[package]

    monkeypatch.setattr(examination, "version", version)
    return found


def test_versions_are_held_against_what_is_asked_for(having: dict[str, str]) -> None:
    having |= {"fastapi": "0.165.0", "torch": "2.13.0+cpu"}
    bad = examination.fitting(Requirement("fastapi<0.151"))
    assert bad.state == "broken"
    assert "0.165.0, expected <0.151 (newer ones break the server of Prefect" in bad.found
    assert bad.hint == "`pip install 'fastapi<0.151'`"
    assert examination.fitting(Requirement("torch>=2.6")).state == "ok"
    assert examination.fitting(Requirement("scipy>=1.12")).state == "broken"


def test_optional_packages_that_are_missing_are_named(
    having: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = ["numpy>=1", 'onnx>=1.17; extra == "onnx"', 'h5py>=3; extra == "keras"']
    monkeypatch.setattr(examination, "requires", lambda name: wanted)
    having |= {"numpy": "2.0", "onnx": "1.23.2"}
    assert list(examination.packages())[-1].found == "not installed: h5py"


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1/f", "a/1.partial/f", "a/2.damaged/f"):
        (tmp_path / "store" / name).parent.mkdir(parents=True)
        (tmp_path / "store" / name).write_bytes(b"x" * 100)
    for free, state in ((100 * GIB, "ok"), (GIB, "warning"), (GIB // 4, "broken")):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: type("U", (), {"free": free}))
        found = examination.space(tmp_path)
        assert found.state == state
        assert "; 1 artifacts, 1 unfinished, 1 damaged" in found.found


def test_a_driver_without_a_pytorch_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(examination, "DRIVER", tmp_path / "version")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert examination.device().state == "ok"
    (tmp_path / "version").write_text("NVRM")
    assert examination.device().state == "warning"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # hidden on purpose
    assert examination.device().state == "ok"


def test_a_card_that_does_not_compute_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class Card:
        name, total_memory = "Old Card", 8 * GIB

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA error: no kernel image is available\nand more")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: Card)
    monkeypatch.setattr(torch, "ones", refuse)
    found = examination.device()
    assert found.state == "broken"
    assert found.found == "Old Card: CUDA error: no kernel image is available"


@pytest.fixture
def client(prefect_api: None) -> Iterator[Any]:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as found:
        yield found


def test_a_server_is_asked_who_works_for_it(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate

    url = str(client.api_url)

    def look() -> dict[str, Finding]:
        return {finding.name: finding for finding in of_prefect.server(url)}

    first = look()
    assert first["Prefect server"].state == "ok"
    assert first["work pool"].state == "warning"
    assert "serve" in first["work pool"].hint
    client.create_work_pool(WorkPoolCreate(name="local", type="process"))
    try:
        client.send_worker_heartbeat("local", "worker", 30.0)
        later = look()
        assert later["work pool"] == Finding("work pool", "local: 1 worker(s) online")
        monkeypatch.setattr(type(client), "client_version", lambda self: "3.1.0")
        assert look()["Prefect server"].state == "warning"
    finally:
        client.delete_work_pool("local")
    monkeypatch.setattr(type(client), "api_version", lambda self: 1 / 0)
    assert look()["Prefect server"].state == "broken"
