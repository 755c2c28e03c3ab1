"""`vesselforge browse` as it is typed: its address, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from commands import refusal
from gallery_run import gallery_run
from typer.testing import CliRunner

from vesselforge.cli.main import main


@pytest.mark.slow
def test_it_serves_a_run_until_ctrl_c(tmp_path: Path) -> None:
    gallery_run(tmp_path)
    command = [sys.executable, "-m", "vesselforge", "browse", "mine", "--workspace", tmp_path]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        said = re.fullmatch(r"mine: (http://127\.0\.0\.1:\d+) .*\n", process.stdout.readline())
        assert said is not None
        assert "Synthetic images" in httpx.get(said[1]).text
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def test_what_it_cannot_serve_is_refused(tmp_path: Path) -> None:
    def said(*arguments: str) -> str:
        given = ["browse", *arguments, "--workspace", str(tmp_path)]
        return refusal(CliRunner().invoke(main, given))

    assert "no such run" in said("other")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} on 127.0.0.1 cannot be used" in said("--port", str(port))
