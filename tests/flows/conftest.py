from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flow_helpers import HERE, Heard
from tiny_generators import Made, made_in

from vesselforge import pretrained


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def fake_kind(monkeypatch: pytest.MonkeyPatch) -> str:
    """The kind of a stage from fake_stages.py, known here and in child processes."""
    from vesselforge.engine.artifacts import Stage
    from vesselforge.pipeline.stages import STAGES

    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    from fake_stages import FakeSettings

    monkeypatch.setitem(STAGES, "fake", Stage("fake", 1, "fake_stages:fake", FakeSettings))
    return "fake"


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server with an empty database, for all flow tests together."""
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made_in(tmp_path_factory.mktemp("made"))


@pytest.fixture
def shelf(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for generators by name, with one in it; the working folder has none of that name."""
    shutil.copytree(made.published.parent, tmp_path / "shelf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, "ROOT", tmp_path / "shelf")
    return tmp_path / "shelf"
