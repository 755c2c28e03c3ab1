"""`check` proves a dataset sound, and names the file of whatever is not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dataset_writers import phantom, save, write_chase, write_drive, write_paired

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings
from vesselforge.data.datasets import load_settings, named_dataset
from vesselforge.data.layouts.check import Problem, Report, check
from vesselforge.data.layouts.items import Dataset, Item

NAMES = "abcdefghijklmnop"
"""Sixteen images: three are for validation, three for the test."""


def check_paired(root: Path) -> Report:
    return check(named_dataset("paired", root))


def only_problem(report: Report) -> Problem:
    assert len(report.problems) == 1, [str(p) for p in report.problems]
    return report.problems[0]


def test_sound_dataset(tmp_path: Path) -> None:
    report = check_paired(write_paired(tmp_path, NAMES, fov=True))
    assert report.problems == []
    assert sum(line["images"] for line in report.splits()) == 16
    row = report.rows[0]
    assert (row.height, row.width) == (64, 64)
    made = phantom(NAMES.index(row.id))
    assert row.vessel_share == pytest.approx(made.mask[made.fov].mean(), abs=1e-6)
    assert row.fov == "file"
    report.raise_first()
    assert json.loads(json.dumps(report.to_dict()))["splits"][0]["sizes"] == ["64×64"]


def test_fovs_in_the_folder_of_masks_are_named(tmp_path: Path) -> None:
    root = write_paired(tmp_path, NAMES)
    for number, name in enumerate(NAMES):
        inside = (phantom(number).image > 60).any(axis=2)
        inside[:, :25] = False  # less than half of the picture
        save(root / f"masks/{name}.png", inside)
    said = [str(problem) for problem in check_paired(root).errors]
    assert len(said) == len(NAMES) and all("masks/" in text for text in said), said
    assert all("move it to fov/" in text for text in said), said


@pytest.mark.parametrize(
    ("name", "kind", "folder"),
    [("a_fov", "FOV", "fov"), ("a_mask", "FOV", "fov"), ("a-vessels", "vessel mask", "masks")],
)
def test_what_is_drawn_among_the_images_is_named(
    tmp_path: Path, name: str, kind: str, folder: str
) -> None:
    root = write_paired(tmp_path, NAMES)
    save(root / f"images/{name}.png", phantom(0).fov)
    (problem,) = check_paired(root).errors
    assert problem.file.endswith(f"images/{name}.png")
    assert f"is the {kind} of 'a': move it to {folder}/" in problem.sentence


def test_observers_and_derived_fov_are_reported(tmp_path: Path) -> None:
    report = check(named_dataset("chase-db1", write_chase(tmp_path)))
    assert report.errors == []
    test = report.splits()[2]
    assert test["images"] == test["labelled"] == 8
    assert test["observers"] == ["1st", "2nd"]
    assert test["fov"] == ["derived"]
    assert 0.04 < test["vessel_share"] < 0.2


def cut(root: Path) -> str:
    path = root / "images/c.png"
    path.write_bytes(path.read_bytes()[:900])
    return "images/c.png: .*truncated"


def other_size(root: Path) -> str:
    save(root / "masks/c.png", phantom(2).mask[:60])
    return r"masks/c\.png: found 60×64 .*expected 64×64"


def empty(root: Path) -> str:
    save(root / "masks/c.png", np.zeros((64, 64), np.uint8))
    return r"masks/c\.png: the vessel mask is empty"


def missing(root: Path) -> str:
    (root / "masks/c.png").unlink()
    return r"images/c\.png: found no vessel mask for identifier 'c'"


def inverted(root: Path) -> str:
    save(root / "masks/c.png", ~phantom(2).mask)
    return r"masks/c\.png: \d\d% of the mask is vessel"


def photograph(root: Path) -> str:
    shutil.copy(root / "images/c.png", root / "masks/c.png")
    return r"masks/c\.png: found \d+ colours in a mask, .* looks like a photograph"


def fov_of_other_size(root: Path) -> str:
    save(root / "fov/c.png", phantom(2).fov[:, :50])
    return r"fov/c\.png: found 64×50 .*expected 64×64"


def empty_fov(root: Path) -> str:
    save(root / "fov/c.png", np.zeros((64, 64), np.uint8))
    return r"fov/c\.png: the field of view is empty"


def inverted_fov(root: Path) -> str:
    save(root / "fov/c.png", ~phantom(2).fov)
    where = re.escape(str(root / "fov/c.png"))
    return rf"masks/c\.png: 100% of its vessels lie outside the field of view, {where}: draw"


def fov_of_another_image(root: Path) -> str:
    """A circle in a corner, of which the image's own is in the middle."""
    corner = np.zeros((64, 64), bool)
    corner[:20, :20] = True
    save(root / "fov/c.png", corner)
    return r"masks/c\.png: \d+% of its vessels lie outside the field of view"


def drawn_in_the_corners(root: Path) -> str:
    """Without a file of the FOV, which is then derived from the image."""
    (root / "fov/c.png").unlink()
    save(root / "masks/c.png", ~phantom(2).fov)
    return r"masks/c\.png: \d+% of its vessels lie outside .*derived from the image: add a file"


@pytest.mark.parametrize(
    "damage",
    [
        cut,
        other_size,
        empty,
        missing,
        inverted,
        photograph,
        fov_of_other_size,
        empty_fov,
        inverted_fov,
        fov_of_another_image,
        drawn_in_the_corners,
    ],
    ids=lambda damage: damage.__name__,
)
def test_errors_name_the_file_in_one_line(tmp_path: Path, damage: Callable[[Path], str]) -> None:
    message = damage(write_paired(tmp_path, NAMES, fov=True))
    report = check_paired(tmp_path)
    assert any(re.search(message, str(error)) for error in report.errors)
    with pytest.raises(DataError, match=message) as caught:
        report.raise_first()
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_further_errors_are_counted(tmp_path: Path) -> None:
    write_paired(tmp_path, NAMES)
    for name in "abc":
        save(tmp_path / f"masks/{name}.png", np.zeros((64, 64), np.uint8))
    with pytest.raises(DataError, match=r"is empty.*and 2 more"):
        check_paired(tmp_path).raise_first()


def test_truncated_tiff(tmp_path: Path) -> None:
    write_drive(tmp_path)
    path = tmp_path / "training/images/30_training.tif"
    path.write_bytes(path.read_bytes()[:2000])
    problem = only_problem(check(named_dataset("drive", tmp_path)))
    assert problem.severity == "error"
    assert problem.file == str(path)


def test_missing_image_of_an_official_list(tmp_path: Path) -> None:
    write_drive(tmp_path)
    (tmp_path / "training/images/30_training.tif").unlink()
    problem = only_problem(check(named_dataset("drive", tmp_path)))
    assert problem.file.endswith("30_training.tif")
    assert "no such file" in problem.sentence


def test_slightly_grey_mask_is_a_warning(tmp_path: Path) -> None:
    write_paired(tmp_path, NAMES)
    grey = phantom(2).mask.astype(np.uint8) * 255
    grey[30, 30] = 90
    save(tmp_path / "masks/c.png", grey)
    problem = only_problem(check_paired(tmp_path))
    assert problem.severity == "warning"
    assert problem.file.endswith("masks/c.png")


def test_vessels_outside_the_field_of_view_are_a_warning_up_to_half_of_them(
    tmp_path: Path,
) -> None:
    write_paired(tmp_path, fov=True)
    whole, mask = phantom(2).fov, phantom(2).mask
    found = []
    for column in range(64):
        small = whole & (np.arange(64) < column)
        if small.any():
            save(tmp_path / "fov/c.png", small)
            share = (mask & ~small).sum() / mask.sum()
            expected = "error" if share > 0.5 else "warning" if share > 0.05 else None
            problems = check_paired(tmp_path).problems
            said = [p.severity for p in problems if "outside" in p.sentence]
            assert said == [expected] * (expected is not None), (column, share)
            found.append(expected)
    assert {None, "warning", "error"} == set(found)


def test_official_drive_download(tmp_path: Path) -> None:
    report = check(named_dataset("drive", write_drive(tmp_path, test_manuals=False)))
    problem = only_problem(report)
    assert problem.severity == "warning"
    assert "cannot" in problem.sentence or "not scored" in problem.sentence
    assert report.splits()[2]["labelled"] == 0


def test_drive_with_some_test_manuals_missing_is_an_error(tmp_path: Path) -> None:
    write_drive(tmp_path)
    for name in ("1st_manual/07_manual1.gif", "2nd_manual/07_manual2.gif"):
        (tmp_path / "test" / name).unlink()
    problem = only_problem(check(named_dataset("drive", tmp_path)))
    assert problem.severity == "error"
    assert "07_test.tif" in problem.file


def items(root: Path, *places: tuple[str, str, int]) -> Dataset:
    """Items (id, split, number of the phantom), each with a reference mask."""
    made = []
    for id_, split, number in places:
        image = save(root / split / f"{id_}.png", phantom(number).image)
        mask = save(root / split / f"{id_}_mask.png", phantom(number).mask)
        made.append(Item(id_, split, image, {"1st": mask}))
    return Dataset("made", root, tuple(made))


VALIDATION = [(f"v{n}", "validation", 8 + n) for n in range(3)]


@pytest.mark.parametrize(("held", "said"), [(1, True), (2, True), (3, False)])
def test_fewer_than_three_validation_images_are_a_warning(
    tmp_path: Path, held: int, said: bool
) -> None:
    report = check(items(tmp_path, ("a", "train", 0), *VALIDATION[:held]))
    assert report.errors == []
    found = [str(p) for p in report.warnings]
    assert bool(found) is said
    assert not said or f"found {held} validation image" in found[0]


def test_duplicate_within_a_split_is_a_warning(tmp_path: Path) -> None:
    dataset = items(tmp_path, ("a", "train", 0), ("b", "train", 0), *VALIDATION)
    problem = only_problem(check(dataset))
    assert problem.severity == "warning"
    assert "a.png" in problem.sentence
    assert problem.file.endswith("b.png")


def test_overlap_of_splits_by_pixels_is_an_error_in_any_format(tmp_path: Path) -> None:
    dataset = items(tmp_path, ("a", "train", 0), *VALIDATION, ("c", "test", 2), ("d", "test", 3))
    other = save(tmp_path / "test/c.tif", phantom(0).image)  # a's pixels, other bytes
    copied = Item("c", "test", other, dataset.items[4].masks)
    report = check(Dataset("made", tmp_path, (*dataset.items[:4], copied, dataset.items[5])))
    problem = only_problem(report)
    assert problem.severity == "error"
    assert problem.file.endswith("a.png") and "c.tif" in problem.sentence
    assert "train and test overlap" in problem.sentence


def test_no_validation_image_is_an_error(tmp_path: Path) -> None:
    problem = only_problem(check(items(tmp_path, ("a", "train", 0))))
    assert "found no validation image" in problem.sentence


def test_phantoms_are_sound() -> None:
    settings = DataSettings.model_validate(
        {"phantom": {"train": 2, "validation": 3, "test": 1, "size": 64}}
    )
    assert check(load_settings(settings)).problems == []


def test_data_is_cheap_to_import() -> None:
    modules = "vesselforge.data.layouts.check, vesselforge.data.prepare"
    code = f"import {modules}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
