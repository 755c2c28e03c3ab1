from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from flow_helpers import HERE, Heard


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def fake_kind(monkeypatch: pytest.MonkeyPatch) -> str:
    """The kind of a stage from fake_stages.py, known here and in child processes."""
    from data.store import Stage
    from pipeline.stages import STAGES

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
