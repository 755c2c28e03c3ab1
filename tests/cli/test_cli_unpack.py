"""`vesselforge data unpack`: archives become a dataset where it is looked for, and are checked."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from vesselforge.cli.main import main


def said(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", "unpack", *map(str, arguments)])


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """training.zip and test.zip as DRIVE comes, of little images; the folder of datasets is there,
    empty."""
    monkeypatch.setenv("VESSELFORGE_DATA", str(tmp_path / "datasets"))
    rng = np.random.default_rng(0)
    for part, first in (("training", 21), ("test", 1)):
        root = tmp_path / "made" / part
        for number in range(first, first + 20):
            for folder, name, pixels in (
                ("images", f"{number:02}_{part}.tif", rng.integers(0, 255, (48, 48, 3))),
                ("1st_manual", f"{number:02}_manual1.gif", 255 * (rng.random((48, 48)) < 0.1)),
                ("mask", f"{number:02}_{part}_mask.gif", np.full((48, 48), 255)),
            ):
                (root / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.astype(np.uint8)).save(root / folder / name)
        with zipfile.ZipFile(tmp_path / f"{part}.zip", "w") as archive:
            for path in sorted(root.rglob("*.*")):
                archive.write(path, path.relative_to(tmp_path / "made"))
    return tmp_path


def test_drive_from_its_two_archives(drive: Path) -> None:
    result = said("drive", drive / "training.zip", drive / "test.zip")
    assert result.exit_code == 0, result.output
    assert "sound" in result.stdout
    assert f"{drive / 'datasets/DRIVE'}: 120 files unpacked" in result.stderr
    again = said("drive", drive / "training.zip", drive / "test.zip")
    assert again.exit_code == 2 and "is there already" in again.stderr


def test_half_of_it_is_kept_and_said_to_be_incomplete(drive: Path) -> None:
    result = said("drive", drive / "training.zip")
    assert result.exit_code == 2
    assert "01_test.tif" in result.stdout and "error: drive: " in result.stderr


def test_a_damaged_archive_leaves_nothing(drive: Path) -> None:
    content = (drive / "test.zip").read_bytes()
    (drive / "test.zip").write_bytes(content[:-100])
    result = said("drive", drive / "training.zip", drive / "test.zip")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {drive / 'test.zip'}: cannot be unpacked")
    assert len(result.stderr.splitlines()) == 1
    assert not list((drive / "datasets").glob("*"))


def test_names_without_a_place(drive: Path) -> None:
    result = said("paired", drive / "training.zip")
    assert result.exit_code == 2
    assert "paired: has no place of its own, expected drive, chase-db1, stare" in result.stderr
