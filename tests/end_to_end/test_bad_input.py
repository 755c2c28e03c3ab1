"""Bad input: one line that names the file or the field, exit status 2, nothing half done."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import environment, run, running, tiny, until
from PIL import Image

from vesselforge.engine.checkpoints import newest_checkpoint, save_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A small dataset in DRIVE's official layout, its training images TIFF, whole and sound."""
    rng = np.random.default_rng(0)
    root = tmp_path / "DRIVE"
    for part, first in (("training", 21), ("test", 1)):
        for number in range(first, first + 20):
            for folder, name, pixels in (
                ("images", f"{number:02}_{part}.tif", rng.integers(0, 255, (64, 64, 3))),
                ("1st_manual", f"{number:02}_manual1.gif", 255 * (rng.random((64, 64)) < 0.1)),
                ("mask", f"{number:02}_{part}_mask.gif", np.full((64, 64), 255)),
            ):
                path = root / part / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    return root


def truncate(root: Path) -> str:
    path = root / "training" / "images" / "25_training.tif"
    path.write_bytes(path.read_bytes()[:5000])
    return "25_training.tif"


def shrink(root: Path) -> str:
    path = root / "training" / "1st_manual" / "26_manual1.gif"
    Image.open(path).resize((60, 64)).save(path)
    return "26_manual1.gif: found 64×60 pixels (height×width), expected 64×64"


def empty(root: Path) -> str:
    path = root / "training" / "1st_manual" / "27_manual1.gif"
    Image.new("L", (64, 64)).save(path)
    return "27_manual1.gif: the vessel mask is empty"


def orphan(root: Path) -> str:
    (root / "training" / "1st_manual" / "28_manual1.gif").unlink()
    return "28_training.tif: found no vessel mask for identifier '28'"


def lose(root: Path) -> str:
    (root / "test" / "images" / "03_test.tif").unlink()
    return "03_test.tif"


@pytest.mark.parametrize("damage", [truncate, shrink, empty, orphan, lose])
def test_a_damaged_dataset(damage: Callable[[Path], str], drive: Path, tmp_path: Path) -> None:
    message = damage(drive)
    data = ["--set", "data.name=drive", "--set", f"data.root={drive}"]
    said = refused(tiny("data prepare", tmp_path / "ws", *data), tmp_path)
    assert message in said


def test_the_flow_says_the_same_in_one_line(drive: Path, tmp_path: Path) -> None:
    message = truncate(drive)
    data = ["--set", "data.name=drive", "--set", f"data.root={drive}"]
    assert message in refused(tiny("run", tmp_path / "ws", *data), tmp_path)


def test_a_missing_dataset(tmp_path: Path) -> None:
    said = refused(tiny("run", tmp_path / "ws", "--set", "data.name=stare"), tmp_path)
    assert "no such dataset folder" in said and "VESSELFORGE_DATA" in said


def test_an_unwritable_workspace(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot write to the workspace" in refused(tiny("run", tmp_path / "file"), tmp_path)
    if os.geteuid() != 0:  # nothing is unwritable to root
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        assert "Permission denied" in refused(tiny("run", locked / "ws"), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("teacher.stepz=3", "teacher.stepz: unknown key; did you mean `steps`?"),
        ("teacher.steps=few", "teacher.steps: input should be a valid integer"),
        ("sample.count=-5", "greater than or equal to 1 (found -5)"),
    ],
)
def test_a_wrong_setting(change: str, message: str, tmp_path: Path) -> None:
    assert message in refused(tiny("run", tmp_path / "ws", "--set", change), tmp_path)


def test_a_loss_that_turns_nan_and_then_damaged_checkpoints(tmp_path: Path) -> None:
    command = tiny("segmenter train", tmp_path / "ws", "--set", "teacher.steps=5000")
    trace = "store/segmenter.train/*.partial/checkpoint/step-*.safetensors"
    with running(command, environment(tmp_path / "home"), tmp_path) as process:
        until(lambda: len(list((tmp_path / "ws").glob(trace))) > 1, 300)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 130
    checkpoints = list((tmp_path / "ws").glob(trace))
    poison(checkpoints[0].parent)
    said = refused(command, tmp_path)
    assert said.startswith("error: segmenter.train: the loss is nan at step ")
    for checkpoint in checkpoints:
        with checkpoint.open("r+b") as stream:
            stream.seek(-8, os.SEEK_END)
            stream.write(b"\xff" * 8)
    assert "checkpoints are damaged (SHA-256 differs)" in refused(command, tmp_path)


def poison(folder: Path) -> None:
    """Make every weight of the newest checkpoint a NaN, with a hash that is right."""
    found = newest_checkpoint(folder)
    assert found is not None
    step, tensors, state = found
    for tensor in tensors.values():
        if tensor.is_floating_point():
            tensor.fill_(float("nan"))
    save_checkpoint(folder, step, tensors, state)


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    Image.new("RGB", (64, 64)).save(tmp_path / "eye.png")
    command = ["vesselforge", "segmenter", "predict", "model", "eye.png", "-o", "maps"]
    assert "model.json: " in refused(command, tmp_path)


def refused(command: list[str], folder: Path) -> str:
    """The one line in which the command refuses; checks that it does."""
    said: subprocess.CompletedProcess[str] = run(
        command, environment(folder / "home", VESSELFORGE_DATA=str(folder)), folder
    )
    assert said.returncode == 2, said.stderr
    assert said.stdout == ""
    assert "Traceback" not in said.stderr
    errors = [line for line in said.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and said.stderr.splitlines()[-1] == errors[0]
    return errors[0]
