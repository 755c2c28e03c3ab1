"""A longer training goes on from a finished one, and has the bytes of one planned so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from generator_helpers import StopAfter, as_artifact, content, tiny, write_image_set

from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.longer import RESUME
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.store import Store
from vesselforge.generator.training.trainer import Trainer
from vesselforge.pipeline.stages import STAGES

pytestmark = pytest.mark.slow

IRREGULAR = 6
"""Steps that end between two snapshots, of which there is one every four steps; and lines of the
log, with three steps between two, too."""
WATCHED = {"snapshot_kimg": 0.016, "checkpoint_every": 50}


class Heard(Progress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return write_image_set(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def finished(images: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a training of six steps."""
    workspace = tmp_path_factory.mktemp("workspace")
    made(workspace, images, IRREGULAR)
    return workspace


@pytest.fixture
def workspace(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "workspace"))


def made(
    workspace: Path, images: Artifact, steps: int, progress: Progress | None = None, **more: object
) -> Artifact:
    settings = tiny(steps, **WATCHED | more)
    store = Store(workspace).open()
    inputs = {"images": images}
    return store.produce(STAGES["generator.train"], settings, inputs, progress or Progress())


@pytest.fixture
def steps_done(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that are trained from now on."""
    real, done = Trainer.advance, list[int]()

    def advance(self: Trainer, *arguments: object) -> None:
        done.append(self.step)
        real(self, *arguments)

    monkeypatch.setattr(Trainer, "advance", advance)
    return done


def same(a: Artifact, b: Artifact) -> None:
    assert a.digest == b.digest
    found, expected = content(a.path), content(b.path)
    del found["manifest.json"], expected["manifest.json"]
    assert found == expected


@pytest.mark.parametrize("deliver", ["best", "last"])
def test_more_kimg_go_on_with_equal_bytes(
    images: Artifact, workspace: Path, tmp_path: Path, steps_done: list[int], deliver: str
) -> None:
    heard = Heard()
    longer = made(workspace, images, 11, heard, deliver=deliver)
    assert steps_done == [*range(IRREGULAR, 11)]
    assert any(
        "goes on from generator.train" in x and "0.024 of 0.044 kimg" in x for x in heard.lines
    )
    same(longer, made(tmp_path / "new", images, 11, deliver=deliver))
    again = made(workspace, images, 12)  # from the longest
    assert steps_done[-1:] == [11]
    same(again, made(tmp_path / "other", images, 12))


def test_what_is_delivered_may_change_alone(
    images: Artifact, workspace: Path, tmp_path: Path, steps_done: list[int]
) -> None:
    other = made(workspace, images, IRREGULAR, deliver="last")
    assert not steps_done
    same(other, made(tmp_path / "new", images, IRREGULAR, deliver="last"))


def test_stopped_on_the_way(images: Artifact, workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        made(workspace, images, 11, StopAfter(3))
    same(made(workspace, images, 11), made(tmp_path / "new", images, 11))


def test_killed_as_it_ends(
    images: Artifact, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After what only a last step has, and after its scratch folder became a state."""
    import vesselforge.engine.store
    import vesselforge.generator.training.train as module

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    for place, name in ((module.Run, "finish"), (vesselforge.engine.store, "write_json")):
        with monkeypatch.context() as patched, pytest.raises(Killed):
            patched.setattr(place, name, killed)
            made(workspace, images, 7)
    same(made(workspace, images, 7), made(tmp_path / "new", images, 7))
    same(made(workspace, images, 9), made(tmp_path / "new", images, 9))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lr_end": 0.5}, ""),
        ({"snapshot_kimg": 0.008}, "with generator.snapshot_kimg=0.016 it goes on"),
        ({"r1_gamma": 3.0}, ""),
        ({"seed": 1}, ""),
    ],
)
def test_what_makes_another_training_begins_at_0(
    images: Artifact, workspace: Path, steps_done: list[int], changes: dict, said: str
) -> None:
    heard = Heard()
    made(workspace, images, 8, heard, **changes)
    assert steps_done == [*range(8)]
    told = [line for line in heard.lines if "generator.train" in line]
    assert bool(told) == bool(said)
    assert not told or (said in told[0] and "set start_from: " in told[0])


def test_a_rate_that_has_fallen_is_said(images: Artifact, tmp_path: Path) -> None:
    heard = Heard()
    made(tmp_path, images, 2, lr_end=0.5)
    made(tmp_path, images, 4, heard, lr_end=0.5)
    (line,) = (line for line in heard.lines if "does not go on" in line)
    assert "its learning rate has fallen by 0.008 kimg (lr_end 0.5)" in line
    folder = line.rpartition("start_from: ")[2]
    assert (Path(folder) / "generator.json").is_file()


def test_other_images_begin_at_0(
    images: Artifact, workspace: Path, tmp_path: Path, steps_done: list[int]
) -> None:
    others = shutil.copytree(images.path, tmp_path / "others")
    made(workspace, as_artifact(Path(others)), 8)
    assert steps_done == [*range(8)]


def test_a_state_is_no_part_of_the_artifact(
    images: Artifact, workspace: Path, steps_done: list[int]
) -> None:
    (state,) = workspace.glob(f"store/*/*{RESUME}")
    shutil.rmtree(state)
    heard = Heard()
    made(workspace, images, 8, heard)
    assert steps_done == [*range(8)]
    assert any("its state at the end is no longer kept" in line for line in heard.lines)
    store = Store(workspace)
    for manifest in workspace.glob("store/generator.train/*/manifest.json"):
        store.remove("generator.train", manifest.parent.name)
    assert not [*workspace.glob("store/generator.train/*")]


def test_so_many_bytes_of_states_stay(
    images: Artifact, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vesselforge.engine.longer.KEPT_BYTES", 1)
    newest = made(workspace, images, 7)
    (state,) = workspace.glob(f"store/*/*{RESUME}")
    assert state.stem == newest.digest
