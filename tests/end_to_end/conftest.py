from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import environment, run, tiny


@dataclass(frozen=True)
class Undisturbed:
    """A whole tiny run from an empty workspace: where it is and what it said."""

    workspace: Path
    said: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HOME of every command: empty at first."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def undisturbed(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = tmp_path_factory.mktemp("undisturbed")
    workspace = folder / "workspace"
    said = run(tiny("run", workspace), environment(home), folder)
    assert said.returncode == 0, said.stderr
    return Undisturbed(workspace, said)


@pytest.fixture
def used_again(undisturbed: Undisturbed, tmp_path: Path) -> Path:
    """A copy of its workspace, for tests that go on in it."""
    return Path(shutil.copytree(undisturbed.workspace, tmp_path / "used-again"))
