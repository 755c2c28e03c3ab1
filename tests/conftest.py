"""What tests of more than one room share; helpers/ is on the path of all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from progress_heard import HELPERS, Heard
from tiny_generators import Made, made_in

from vesselforge import pretrained
from vesselforge.configs.load import SHIPPED
from vesselforge.configs.study import StudyConfig


@pytest.fixture(scope="session")
def tiny_study() -> Callable[..., StudyConfig]:
    """The quickstart study, as small as it can be, with changes to groups of its settings."""

    def build(**changes: Any) -> StudyConfig:
        values = yaml.safe_load((SHIPPED / "compare-quickstart.yaml").read_text())
        del values["sources"], values["generator"]  # the pretrained one is too large for tests
        phantom = {"train": 4, "validation": 2, "test": 4, "size": 64, "seed": 0}
        fit = {"steps": 2, "batch": 2, "crop": 32, "validate_every": 2}
        gan = {
            "presentation": "patch", "resolution": 32, "batch": 8, "ada_kimg": 20,
            "kimg": 0.016, "snapshot_kimg": 0.016, "channel_base": 64, "channel_max": 64,
            "latent": 8,
        }  # fmt: skip
        small: dict[str, Any] = {
            "name": "tiny",
            "data": {"phantom": phantom},
            "arms": {"counts": [0, 2, 4], "orders": ["synthetic-first"], "seeds": [0, 1]},
            "teacher": fit | {"steps": 3},
            "generator": gan,
            "sample": {"batch": 32},
            "pseudo_label": {"min_confidence": 0, "min_vessel_share": 0, "max_vessel_share": 1},
            "synthetic": {"pool": 3},
            "score": {"real_views": 4, "kid_subset_size": 2},
            "student": fit,
            "pretrain": {"steps": 2},
            "finetune": {"steps": 2, "validate_every": 2},
            "evaluate": {"bootstrap": 100},
            "statistics": {"bootstrap": 300},
            "execution": {"workers": 1},
        }
        for given in (small, changes):
            for name, value in given.items():
                old = values.get(name)
                merge = isinstance(value, dict) and isinstance(old, dict)
                values[name] = old | value if merge else value
        return StudyConfig.model_validate(values)

    return build


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def fake_kind(monkeypatch: pytest.MonkeyPatch) -> str:
    """The kind of a stage from fake_stages.py, known here and in child processes."""
    from vesselforge.engine.artifacts import Stage
    from vesselforge.pipeline.stages import STAGES

    monkeypatch.syspath_prepend(str(HELPERS))
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(HELPERS), os.environ.get("PYTHONPATH", "")])
    )
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


@pytest.fixture
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """No warning that there are few validation images, in tests of anything else."""
    monkeypatch.setattr("vesselforge.data.layouts.check.FEWEST", 0)
