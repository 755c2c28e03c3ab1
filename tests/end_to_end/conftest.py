from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from commands import environment, run, tiny

from vesselforge.engine.locks import locked
from vesselforge.engine.progress import Progress

DATABASE = Path("prefect") / "prefect.db"


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Undisturbed:
    """A whole tiny run from an empty workspace and an empty HOME, and what it said."""

    workspace: Path
    home: Path
    said: Said


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """Made once for all processes of the tests; nobody writes there."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / "undisturbed"
    folder.mkdir(exist_ok=True)
    workspace, home, told = (folder / name for name in ("workspace", "home", "said.json"))
    with locked(folder / "lock", Progress(), "another process makes it"):
        if not told.exists():
            made = run(tiny("run", workspace), environment(home), folder)
            said = Said(made.returncode, made.stdout, made.stderr)
            told.write_text(json.dumps(asdict(said)))
        said = Said(**json.loads(told.read_text()))
    assert said.returncode == 0, said.stderr
    return Undisturbed(workspace, home, said)


def with_database(home: Path, undisturbed: Undisturbed) -> Path:
    """A HOME in which Prefect has made its database, which takes 8 s of the processor."""
    (home / DATABASE).parent.mkdir(parents=True)
    shutil.copyfile(undisturbed.home / DATABASE, home / DATABASE)
    return home


@pytest.fixture(scope="session")
def home(undisturbed: Undisturbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HOME of every command, where nothing says otherwise."""
    return with_database(tmp_path_factory.mktemp("home"), undisturbed)


@pytest.fixture
def own_home(undisturbed: Undisturbed, tmp_path: Path) -> Path:
    """A HOME for a server that no other test knows of."""
    return with_database(tmp_path / "home", undisturbed)


@pytest.fixture
def used_again(undisturbed: Undisturbed, tmp_path: Path) -> Path:
    """A copy of its workspace, for tests that go on in it."""
    return Path(shutil.copytree(undisturbed.workspace, tmp_path / "used-again"))
