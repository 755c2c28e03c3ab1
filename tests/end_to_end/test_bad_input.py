"""Bad input: one line that names the file or the field, exit status 2, nothing half done."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import environment, refusal, run, tiny
from PIL import Image
from typer.testing import Result

pytestmark = pytest.mark.slow
Typed = Callable[[list[str]], Result]


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


def on(drive: Path) -> list[str]:
    return ["--set", "data.name=drive", "--set", f"data.root={drive}"]


@pytest.mark.parametrize("damage", [truncate, shrink, empty, orphan, lose])
def test_a_damaged_dataset(
    damage: Callable[[Path], str], typed: Typed, drive: Path, tmp_path: Path
) -> None:
    message = damage(drive)
    assert message in refusal(typed(tiny("data prepare", tmp_path / "ws", *on(drive))))


def test_the_flow_says_the_same_in_one_line(
    drive: Path, home: Path, server: str, tmp_path: Path
) -> None:
    message = truncate(drive)
    command = tiny("run", tmp_path / "ws", *on(drive))
    assert message in refusal(run(command, environment(home, PREFECT_API_URL=server), tmp_path))


def test_a_missing_dataset(typed: Typed, tmp_path: Path) -> None:
    said = refusal(typed(tiny("run", tmp_path / "ws", "--set", "data.name=stare")))
    assert "no such dataset folder" in said and "VESSELFORGE_DATA" in said


def test_an_unwritable_workspace(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot write to the workspace" in refusal(typed(tiny("run", tmp_path / "file")))
    if os.geteuid() != 0:  # nothing is unwritable to root
        locked = tmp_path / "locked"
        locked.mkdir(mode=0o500)
        assert "Permission denied" in refusal(typed(tiny("run", locked / "ws")))


def test_a_file_that_is_no_model(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    Image.new("RGB", (64, 64)).save(tmp_path / "eye.png")
    command = ["vesselforge", "segmenter", "predict", "model", "eye.png", "-o", "maps"]
    assert "model.json: " in refusal(typed(command))
