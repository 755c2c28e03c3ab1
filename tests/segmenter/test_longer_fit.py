"""A longer training of a segmenter goes on from a finished one, bit for bit; or says why not."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from segmenter_helpers import TINY, artifact, hashes, phantom_set

from vesselforge.configs.settings import FitSettings
from vesselforge.engine.artifacts import MANIFEST, Artifact
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import Store
from vesselforge.pipeline.graph import Given, Work
from vesselforge.pipeline.preview import outlook
from vesselforge.pipeline.stages import STAGES
from vesselforge.segmenter.training.fit import Fit
from vesselforge.segmenter.training.longer import length

pytestmark = pytest.mark.slow

STEPS = 5
"""They end between two validations, of which there is one every three steps."""


class Heard(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return artifact(phantom_set(tmp_path_factory.mktemp("set"), {"train": 3, "validation": 1}))


@pytest.fixture(scope="module", params=["constant", "plateau"])
def finished(
    images: Artifact, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    workspace = tmp_path_factory.mktemp("workspace")
    made(workspace, images, STEPS, schedule=request.param)
    return workspace


def settings_of(steps: int, **more: Any) -> FitSettings:
    values = {"steps": steps, "schedule": "constant", "checkpoint_every": 50, "ema": 0.0} | more
    return FitSettings.model_validate(TINY.model_dump() | values)


def made(
    workspace: Path, images: Artifact, steps: int, heard: Progress | None = None, **more: Any
) -> Artifact:
    stage, settings = STAGES["segmenter.train"], settings_of(steps, **more)
    return Store(workspace).open().produce(stage, settings, {"images": images}, heard or Heard())


def same(a: Artifact, b: Artifact) -> None:
    assert a.digest == b.digest
    found, expected = hashes(a.path), hashes(b.path)
    del found[MANIFEST], expected[MANIFEST]
    assert found == expected


@pytest.fixture
def steps_done(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that are trained from now on."""
    real, done = Fit.step, list[int]()

    def step(self: Fit) -> None:
        done.append(self.state.step)
        real(self)

    monkeypatch.setattr(Fit, "step", step)
    return done


def schedule_of(workspace: Path) -> str:
    (manifest,) = workspace.glob(f"store/*/*/{MANIFEST}")
    made = Store(workspace).read("segmenter.train", manifest.parent.name)
    return str(made.manifest["settings"]["schedule"])


@pytest.mark.parametrize("more", [{}, {"keep": "last"}, {"ema": 0.9}])
def test_more_steps_go_on_with_equal_bytes(
    images: Artifact, finished: Path, tmp_path: Path, steps_done: list[int], more: dict[str, Any]
) -> None:
    workspace = Path(shutil.copytree(finished, tmp_path / "workspace"))
    more = more | {"schedule": schedule_of(workspace)}
    heard = Heard()
    longer = made(workspace, images, 8, heard, **more)
    if "ema" in more:  # other weights are judged: another training
        assert steps_done == [*range(8)]
        return
    assert steps_done == [*range(STEPS, 8)]
    assert any(line.endswith("at 5 of 8 steps") for line in heard.lines)
    same(longer, made(tmp_path / "new", images, 8, **more))


def test_what_is_chosen_at_the_end_may_change_alone(
    images: Artifact, tmp_path: Path, steps_done: list[int]
) -> None:
    made(tmp_path / "old", images, STEPS, schedule="cosine", early_stop=9)
    steps_done.clear()
    more = {"schedule": "cosine", "threshold_on": "development", "calibrate": True}
    more |= {"keep": "last", "early_stop": 0}
    other = made(tmp_path / "old", images, STEPS, **more)
    assert not steps_done
    same(other, made(tmp_path / "new", images, STEPS, **more))


def test_a_training_that_ended_early_is_as_long_as_it_may_be(
    images: Artifact, tmp_path: Path, steps_done: list[int]
) -> None:
    early = {"lr": 0.5, "validate_every": 1}  # it gets worse from the start
    made(tmp_path / "old", images, 12, early_stop=1, **early)
    before = len(steps_done)
    assert before < 12
    longer = made(tmp_path / "old", images, 12, early_stop=3, **early)
    assert steps_done[before] == before
    same(longer, made(tmp_path / "new", images, 12, early_stop=3, **early))


@pytest.mark.parametrize(
    ("before", "changes", "said"),
    [
        ({"schedule": "cosine"}, {"steps": 9}, "schedule cosine) has fallen by step 5"),
        ({"schedule": "step"}, {"steps": 9}, "schedule step) has fallen by step 5"),
        ({}, {"steps": 9, "validate_every": 4}, "with validate_every 3 it goes on"),
        ({"keep": "last"}, {"keep": "best", "steps": 9}, "with keep last it goes on"),
        ({}, {"early_stop": 2}, "it might have ended earlier"),
        ({}, {"steps": 9, "threshold_on": "none", "keep": "last"}, ""),
        ({"early_stop": 2}, {"early_stop": 0}, ""),
    ],
)
def test_what_stands_in_the_way_is_said(
    before: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    earlier = settings_of(STEPS, **before)
    wanted = settings_of(**{"steps": STEPS} | before | changes)
    found = length(wanted, earlier, changes.keys())
    assert found is not None
    assert said in found.obstacle and bool(said) == bool(found.obstacle)
    assert length(wanted, earlier, {"lr"} | changes.keys()) is None


def test_a_dry_run_knows_it(images: Artifact, finished: Path) -> None:
    settings = settings_of(8, schedule=schedule_of(finished))
    needed = {"images": Given("data.prepare", images.digest)}
    work = Work("teacher", "segmenter.train", settings, needed)
    found = outlook([work], Store(finished))
    (line,) = found["earlier"].values()
    assert line.startswith("goes on from segmenter.train ") and line.endswith("at 5 of 8 steps")
