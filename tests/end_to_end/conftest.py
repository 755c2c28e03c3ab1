from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from commands import Said, Undisturbed, environment, run, tiny
from typer.testing import CliRunner, Result

from vesselforge.cli.main import main
from vesselforge.engine.locks import locked
from vesselforge.engine.progress import Progress

STRANGE = {
    ".prefect/profiles.toml": 'active = "work"\n[profiles.work]\n'
    'PREFECT_API_URL = "http://127.0.0.1:9/api"\nPREFECT_API_KEY = "pnu_secret"\n',
    ".prefect/prefect.db": "a database of another version",
    "prefect.toml": '[api]\nurl = "http://127.0.0.1:9/api"\n',
    ".env": "PREFECT_API_URL=http://127.0.0.1:9/api\n",
}
"""Another project's Prefect, in the home and in the working folder of the first run of all."""


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
            for name, content in STRANGE.items():
                file = (home if name.startswith(".prefect/") else folder) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content)
            env = environment(home, PREFECT_HOME=str(home / ".prefect"))
            made = run(tiny("run", workspace), env, folder)
            said = Said(made.returncode, made.stdout, made.stderr)
            told.write_text(json.dumps(asdict(said)))
        said = Said(**json.loads(told.read_text()))
    assert said.returncode == 0, said.stderr
    return Undisturbed(workspace, home, said)


def with_database(home: Path, undisturbed: Undisturbed) -> Path:
    """A HOME in which Prefect has made its databases, which takes 8 s of the processor: that of a
    run's own server, and one for `serve` in `environment(home)`."""
    (made,) = undisturbed.home.glob(".cache/vesselforge/prefect-*/prefect.db")
    for file in (home / made.relative_to(undisturbed.home), home / "prefect" / made.name):
        file.parent.mkdir(parents=True)
        shutil.copyfile(made, file)
    return home


@pytest.fixture(scope="session")
def home(undisturbed: Undisturbed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HOME of every command, where nothing says otherwise."""
    return with_database(tmp_path_factory.mktemp("home"), undisturbed)


@pytest.fixture(scope="session")
def server(prefect_api: None) -> str:
    """PREFECT_API_URL of a server for commands whose point is not the one that they would bring
    along: that takes 8 s of the processor each time."""
    from prefect.settings import PREFECT_API_URL

    return str(PREFECT_API_URL.value())


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Type a command where its process is not the point: it and its stages run in this one."""
    for name in [n for n in os.environ if n.startswith(("PREFECT_", "VESSELFORGE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VESSELFORGE_DATA", str(tmp_path))
    monkeypatch.setattr(
        "vesselforge.pipeline.executor.run_in_child", lambda job, progress, *_: job.run(progress)
    )
    monkeypatch.chdir(tmp_path)
    return lambda command: CliRunner().invoke(main, command[1:])


@pytest.fixture
def own_home(undisturbed: Undisturbed, tmp_path: Path) -> Path:
    """A HOME for a server that no other test knows of."""
    return with_database(tmp_path / "home", undisturbed)


@pytest.fixture
def used_again(undisturbed: Undisturbed, tmp_path: Path) -> Path:
    """A copy of its workspace, for tests that go on in it."""
    return Path(shutil.copytree(undisturbed.workspace, tmp_path / "used-again"))
