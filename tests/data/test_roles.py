"""Folders of any usual layout: which file is an image, which its mask, which its FOV."""

from __future__ import annotations

import itertools
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from dataset_writers import phantom, save, write_chase, write_drive, write_paired, write_stare
from hypothesis import given, settings
from hypothesis import strategies as st

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings
from vesselforge.data.datasets import load_settings, named_dataset
from vesselforge.data.layouts.check import check
from vesselforge.data.layouts.folders import sort_pairs
from vesselforge.data.layouts.roles import Sorted, sort_files, walk

pytestmark = pytest.mark.usefixtures("few_are_enough")

FOLDERS = (
    ("image", "mask"),
    ("Images", "Masks"),
    ("IMAGES", "LABELS"),
    ("img", "label"),
    ("imgs", "labels"),
    ("photos", "annotations"),
    ("Original", "Ground truth"),
    ("Original", "ground_truth"),
    ("images", "1st_manual"),
    ("images", "manual1"),
    ("images", "vessel-segmentations"),
    ("imagesTr", "labelsTr"),
    ("input", "GT"),
)
ENDINGS = (
    "_mask", "_manual1", "-vessels", "_1stHO", ".ah", "_vessel", "_gt", "_GT", "_seg", "_label",
    "_vessel_mask", "-ground-truth", " annotation",
)  # fmt: skip


def touched(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def found(root: Path, *names: str, pattern: str | None = None) -> Sorted:
    return sort_pairs(touched(root, *names), pattern)


def names(root: Path, files: dict[str, Path]) -> dict[str, str]:
    return {id_: path.relative_to(root).as_posix() for id_, path in files.items()}


def errors(of: Sorted) -> list[str]:
    return [str(problem) for problem in of.problems if problem.severity == "error"]


@pytest.mark.parametrize(("images", "masks"), FOLDERS)
def test_folders_under_other_usual_names(tmp_path: Path, images: str, masks: str) -> None:
    write_paired(tmp_path)
    (tmp_path / "images").rename(tmp_path / "i")
    (tmp_path / "masks").rename(tmp_path / "m")
    (tmp_path / "i").rename(tmp_path / images)
    (tmp_path / "m").rename(tmp_path / masks)
    dataset = named_dataset(str(tmp_path))
    assert dataset.name == "paired"
    assert check(dataset).problems == []
    assert sorted(item.id for item in dataset) == list("abcdefgh")
    for item in dataset:
        made = phantom("abcdefgh".index(item.id))
        assert np.array_equal(item.read_image(), made.image)
        assert np.array_equal(item.read_mask("reference"), made.mask)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("folder", ["masks/", "labels/", ""])
def test_usual_endings_in_a_folder_of_masks_and_beside_the_images(
    tmp_path: Path, ending: str, folder: str
) -> None:
    images = "photos/" if folder else ""
    pairs = {f"{images}eye{n}.JPG": f"{folder}eye{n}{ending}.png" for n in range(3)}
    of = found(tmp_path, *pairs, *pairs.values())
    assert of.problems == []
    assert names(tmp_path, of.images) == {f"eye{n}": f"{images}eye{n}.JPG" for n in range(3)}
    assert names(tmp_path, of.masks) == {f"eye{n}": f"{folder}eye{n}{ending}.png" for n in range(3)}


def test_words_may_stand_in_front_or_alone(tmp_path: Path) -> None:
    of = found(tmp_path / "a", "img_1.png", "mask_1.png", "img_2.png", "mask_2.png")
    assert names(tmp_path / "a", of.masks) == {"img_1": "mask_1.png", "img_2": "mask_2.png"}
    of = found(tmp_path / "b", *(f"{p}/{n}.png" for p in ("ann", "bob") for n in ("image", "mask")))
    assert names(tmp_path / "b", of.masks) == {
        "ann-image": "ann/mask.png", "bob-image": "bob/mask.png",
    }  # fmt: skip


@pytest.mark.parametrize("form", ["{role}/{patient}/{eye}.png", "{patient}/{role}/{eye}.png"])
def test_a_folder_a_patient(tmp_path: Path, form: str) -> None:
    eyes = list(itertools.product(("ann", "bob"), ("1", "2")))
    for (patient, eye), role in itertools.product(eyes, ("images", "masks", "FOV")):
        touched(tmp_path, form.format(role=role, patient=patient, eye=eye))
    of = sort_pairs(tmp_path, None)
    assert of.problems == []
    assert (
        list(of.images) == list(of.masks) == list(of.fovs) == ["ann-1", "ann-2", "bob-1", "bob-2"]
    )
    for id_ in of.images:
        patient, eye = id_.split("-")
        for files, role in ((of.images, "images"), (of.masks, "masks"), (of.fovs, "FOV")):
            path = form.format(role=role, patient=patient, eye=eye)
            assert files[id_] == tmp_path / path


def test_images_inside_folders_of_masks_and_images(tmp_path: Path) -> None:
    places = (
        "train/input/img",
        "train/ground truth/img",
        "test/input/img",
        "test/ground truth/img",
    )
    of = found(tmp_path, *(f"{place}/{n}.jpg" for place in places for n in (1, 2)))
    assert names(tmp_path, of.masks)["test-2"] == "test/ground truth/img/2.jpg"
    assert of.splits(tmp_path) == {
        "train-1": "train", "train-2": "train", "test-1": "test", "test-2": "test",
    }  # fmt: skip
    assert "do not count" in str(of.problems[0]) and of.problems[0].severity == "warning"


def test_official_layouts_are_understood_without_their_names(tmp_path: Path) -> None:
    drive = named_dataset(str(write_drive(tmp_path / "Some folder")))
    assert len(drive) == 40 and all(item.fov and item.masks for item in drive)
    for item in drive:
        number = int(item.id.split("-")[1][:2])
        assert np.array_equal(item.read_mask("reference"), phantom(number).mask)
        assert np.array_equal(item.read_fov(), phantom(number).fov)
    assert any("of a second observer" in str(problem) for problem in drive.problems)
    chase = named_dataset(str(write_chase(tmp_path / "Chase")))
    assert len(chase) == 28 and all("_1stHO" in item.masks["reference"].name for item in chase)
    stare = named_dataset(str(write_stare(tmp_path / "Stare")))
    assert len(stare) == 20 and all(".ah" in item.masks["reference"].name for item in stare)


def test_nn_unet(tmp_path: Path) -> None:
    of = found(
        tmp_path, "imagesTr/a_0000.png", "imagesTr/b_0000.png", "labelsTr/a.png", "labelsTr/b.png",
        "imagesTs/c_0000.png", "dataset.json",
    )  # fmt: skip
    assert names(tmp_path, of.masks) == {"a_0000": "labelsTr/a.png", "b_0000": "labelsTr/b.png"}
    (problem,) = of.problems
    assert "left out 1 .png files (imagesTs/c_0000.png" in str(problem)


def test_mask_is_the_fov_beside_masks_that_say_vessels(tmp_path: Path) -> None:
    of = found(tmp_path, *(f"{f}/{n}.png" for f in ("images", "manual", "mask") for n in "ab"))
    assert names(tmp_path, of.masks)["a"] == "manual/a.png"
    assert names(tmp_path, of.fovs)["a"] == "mask/a.png"


def test_two_folders_of_masks_are_refused(tmp_path: Path) -> None:
    of = found(tmp_path, *(f"{f}/{n}.png" for f in ("images", "labels", "masks") for n in "ab"))
    assert len(errors(of)) == 2
    assert f"{tmp_path}/masks/a.png: found a second file" in errors(of)[0]
    assert f"beside {tmp_path}/labels/a.png" in errors(of)[0] and "fov/" in errors(of)[0]


def test_a_vessel_mask_taken_for_the_fov_is_found_out(tmp_path: Path) -> None:
    write_paired(tmp_path)
    shutil.copytree(tmp_path / "masks", tmp_path / "vessels")
    report = check(named_dataset(str(tmp_path)))
    assert len(report.errors) == 8
    assert "100% of the FOV is vessel" in str(report.errors[0])


def test_nothing_is_dropped_without_a_word(tmp_path: Path) -> None:
    of = found(
        tmp_path, "images/a.png", "images/b.png", "images/c.xyz", "masks/a.png", "masks/b.png",
        "masks/more/c.xyz", "elsewhere/d.png", "e.png", "readme.txt", "Thumbs.db", "images/._a.png",
    )  # fmt: skip
    told = " ".join(map(str, of.problems))
    assert "left out 2 .xyz files, which are no images that can be read here" in told
    assert "left out 2 .png files (e.png, …)" in told
    assert [p.severity for p in of.problems] == ["warning"] * 2


def test_masks_that_fit_no_image_are_errors(tmp_path: Path) -> None:
    of = found(tmp_path, "images/a.png", "images/x/b.png", "masks/a.png", "masks/b.png")
    (error,) = errors(of)
    assert f"{tmp_path}/masks/b.png: found no image with identifier 'b'" in error
    assert "--pattern" in error


def test_an_ending_counts_only_beside_its_image(tmp_path: Path) -> None:
    of = sort_files(touched(tmp_path, "a_seg.png", "b_seg.png", "c_mask.png"))
    assert not of.labelled and list(of.images) == ["a_seg", "b_seg", "c_mask"]


def test_images_alone_stay_images_alone(tmp_path: Path) -> None:
    touched(tmp_path, "healthy/1.png", "healthy/2.png", "sick/1.png", "original/1.png")
    assert named_dataset(str(tmp_path)).name == "images"


def test_the_generator_is_not_shown_masks(tmp_path: Path) -> None:
    write_paired(tmp_path, fov=True)
    dataset = load_settings(DataSettings(name="images", root=tmp_path, validation_share=0))
    assert {item.image.parent.name for item in dataset} == {"images"}
    assert dataset.classes == ()
    assert "left out 16 .png files" in str(dataset.problems[0])


def test_masks_under_names_that_nobody_knows_are_found_by_their_values(tmp_path: Path) -> None:
    write_paired(tmp_path)
    (tmp_path / "images").rename(tmp_path / "bilder")
    (tmp_path / "masks").rename(tmp_path / "gezeichnet")
    dataset = named_dataset(str(tmp_path))
    assert dataset.name == "images"
    (error,) = check(dataset).errors
    assert "8 of 16 images have two values only, as masks have" in str(error)
    save(tmp_path / "bilder/black.png", np.zeros((64, 64), np.uint8))
    assert "8 of 17" in str(check(named_dataset(str(tmp_path))).errors[0])


def test_a_pattern_is_searched_in_sub_folders_too(tmp_path: Path) -> None:
    of = found(
        tmp_path, "images/ann/e1_x.png", "images/bob/e1_y.png", "masks/ann/z-e1.png",
        "masks/bob/w-e1.png", pattern=r"(?P<id>(ann|bob))",
    )  # fmt: skip
    assert names(tmp_path, of.masks) == {"ann": "masks/ann/z-e1.png", "bob": "masks/bob/w-e1.png"}
    beside = touched(tmp_path / "f", "L-1.png", "L-1 x_mask.png", "L-2.png", "L-2 y_mask.png")
    flat = sort_pairs(beside, r"L-(?P<id>\d)")
    assert names(beside, flat.masks) == {"1": "L-1 x_mask.png", "2": "L-2 y_mask.png"}
    with pytest.raises(DataError, match="has names of its own"):
        named_dataset("drive", tmp_path, pattern=r"(?P<id>\d)")


def test_capitals_and_marks_do_not_matter(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "é")
    of = found(
        tmp_path, "images/EYE.JPG", "masks/eye.png", f"images/{decomposed}.png", "masks/é.png"
    )
    assert names(tmp_path, of.masks) == {"EYE": "masks/eye.png", "é": "masks/é.png"}


@pytest.mark.parametrize("space", ["\u202f", "\u00a0", "\u3000", "\u2028"])
def test_any_space_in_names(tmp_path: Path, space: str) -> None:
    of = found(tmp_path, *(f"{f}/eye {n}{space}PM.png" for f in ("images", "masks") for n in "12"))
    assert of.problems == [] and len(of.masks) == 2


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write_paired(tmp_path / "there")
    (tmp_path / "set").mkdir()
    (tmp_path / "set/images").symlink_to(tmp_path / "there/images")
    (tmp_path / "set/masks").symlink_to(tmp_path / "there/masks")
    (tmp_path / "set/images/again").symlink_to(tmp_path / "set")
    assert len(walk(tmp_path / "set")[0]) == 16
    assert len(named_dataset(str(tmp_path / "set"))) == 8


NAMES = st.sets(
    st.text("abcXYZ019_-. é", min_size=1, max_size=6).filter(
        lambda name: name[0] not in ". " and name[-1] not in "-_. "
    ),
    min_size=2,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(NAMES, st.sampled_from(FOLDERS), st.sampled_from(("", *ENDINGS)))
def test_every_mask_is_matched_with_its_own_image(
    tmp_path_factory: pytest.TempPathFactory,
    stems: set[str],
    folders: tuple[str, str],
    ending: str,
) -> None:
    """Whatever the stems, as long as they differ by more than capitals."""
    stems = set({stem.casefold(): stem for stem in sorted(stems)}.values())
    root = tmp_path_factory.mktemp("set")
    images, masks = folders
    for stem in stems:
        touched(root, f"{images}/{stem}.png", f"{masks}/{stem}{ending}.tif")
    of = sort_files(root)
    assert errors(of) == []
    assert {id_: of.masks[id_].name for id_ in of.images} == {
        stem: f"{stem}{ending}.tif" for stem in stems
    }
