"""Official layouts and users' folders: matched by identifier, found where they should be."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from dataset_writers import (
    phantom,
    save,
    second,
    write_chase,
    write_drive,
    write_fives,
    write_hrf,
    write_les_av,
    write_paired,
    write_stare,
)

from vesselforge.configs.catalogue import DATASETS, NAMES, KnownDataset
from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings
from vesselforge.data.datasets import Dataset, load_settings, named_dataset
from vesselforge.data.layouts.check import check
from vesselforge.data.layouts.folders import read_known
from vesselforge.data.layouts.splits import SPLITS


def paired(root: Path, **options: object) -> Dataset:
    return load_settings(DataSettings.model_validate({"name": "paired", "root": root, **options}))


def test_drive(tmp_path: Path) -> None:
    dataset = named_dataset("drive", write_drive(tmp_path))
    assert [len(dataset.split(s)) for s in ("train", "validation", "test")] == [16, 4, 20]
    item = next(i for i in dataset if i.id == "07")
    assert item.split == "test"
    assert list(item.masks) == ["1st", "2nd"]
    assert np.array_equal(item.read_image(), phantom(7).image)
    assert np.array_equal(item.read_mask("1st"), phantom(7).mask)
    assert np.array_equal(item.read_mask("2nd"), second(phantom(7)))
    assert np.array_equal(item.read_fov(), phantom(7).fov)


def test_drive_as_downloaded_has_no_test_manuals(tmp_path: Path) -> None:
    dataset = named_dataset("drive", write_drive(tmp_path, test_manuals=False))
    assert all(not item.masks for item in dataset.split("test"))
    assert all(list(item.masks) == ["1st"] for item in dataset.split("train"))


def test_chase(tmp_path: Path) -> None:
    dataset = named_dataset("chase-db1", write_chase(tmp_path))
    assert [len(dataset.split(s)) for s in ("train", "validation", "test")] == [16, 4, 8]
    assert {i.id for i in dataset.split("test")} == {f"{n}{e}" for n in range(11, 15) for e in "LR"}
    item = next(i for i in dataset if i.id == "12R")
    assert list(item.masks) == ["1st", "2nd"]
    assert item.fov is None
    truth = phantom(23)
    found = item.read_fov()
    assert (found & truth.fov).sum() / (found | truth.fov).sum() > 0.95


@pytest.mark.parametrize("gzipped", [True, False])
def test_stare(tmp_path: Path, gzipped: bool) -> None:
    root = write_stare(tmp_path, gzipped)
    dataset = named_dataset("stare", root)
    assert [len(dataset.split(s)) for s in ("train", "validation", "test")] == [13, 3, 4]
    item = next(i for i in dataset if i.id == "im0044")
    assert list(item.masks) == ["ah", "vk"]
    assert np.array_equal(item.read_mask("ah"), phantom(1).mask)
    tests = [
        {i.id for i in load_settings(DataSettings(name="stare", root=root, fold=k)).split("test")}
        for k in range(5)
    ]
    assert len(set.union(*tests)) == 20


def test_stare_with_mixed_suffixes(tmp_path: Path) -> None:
    write_stare(tmp_path, gzipped=False)
    for path in (tmp_path / "labels-vk").glob("im000[12]*"):
        path.rename(path.with_suffix(".pgm"))
    assert all(len(item.masks) == 2 for item in named_dataset("stare", tmp_path))


def test_hrf(tmp_path: Path) -> None:
    dataset = named_dataset("hrf", write_hrf(tmp_path))
    assert [len(dataset.split(s)) for s in ("train", "validation", "test")] == [12, 3, 30]
    assert check(dataset, ["train"]).problems == []
    assert {i.id for i in dataset.split("validation")} == {"05_h", "05_dr", "05_g"}
    numbers = {s: {i.id[:2] for i in dataset.split(s)} for s in ("train", "validation", "test")}
    assert not numbers["train"] & numbers["test"] and not numbers["validation"] & numbers["test"]
    item = next(i for i in dataset if i.id == "01_dr")
    assert np.array_equal(item.read_mask("reference"), phantom(1).mask)
    assert np.array_equal(item.read_fov(), phantom(1).fov)


def test_les_av(tmp_path: Path) -> None:
    dataset = named_dataset("les-av", write_les_av(tmp_path))
    assert [len(dataset.split(s)) for s in ("train", "validation", "test")] == [8, 3, 11]
    assert dataset.problems == ()
    assert [item.id for item in dataset][:4] == ["250", "260", "270", "251"]  # by the last digit
    item = next(i for i in dataset if i.id == "251")
    assert np.array_equal(item.read_mask("reference"), phantom(1).mask)
    assert np.array_equal(item.read_fov(), phantom(1).fov)
    (tmp_path / "masks/251_mask.gif").unlink()
    (problem,) = named_dataset("les-av", tmp_path).problems
    assert "found no FOV of 1 images (the first: 251), expected files such as masks/" in str(
        problem
    )


def test_a_split_by_order_needs_all_images(tmp_path: Path) -> None:
    write_les_av(tmp_path, range(21))
    with pytest.raises(DataError, match=r"images: found 21 images, expected 22: .*LES-AV\.zip"):
        named_dataset("les-av", tmp_path)


def test_fives(tmp_path: Path) -> None:
    dataset = named_dataset("fives", write_fives(tmp_path))
    assert [len(dataset.split(s)) for s in ("train", "validation", "test")] == [540, 60, 200]
    assert len({item.id for item in dataset}) == 800
    files = {item.image for item in dataset.split("test")}
    assert all(path.parts[-3] == "test" for path in files)
    assert not files & {item.image for item in dataset if item.split != "test"}
    for item in dataset:
        assert item.masks["reference"].parent.name == "Ground truth"
        assert item.masks["reference"].name == item.image.name
    groups = [item.id[-1] for item in dataset.split("validation")]
    assert {letter: groups.count(letter) for letter in "ADGN"} == dict.fromkeys("ADGN", 15)
    assert {item.id for item in dataset.split("test")} >= {"1_A", "200_N"}


def test_matched_by_identifier_never_by_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_drive(tmp_path)
    # Without its first mask, matching by position would shift all others by one.
    (tmp_path / "training/1st_manual/21_manual1.gif").unlink()
    listing = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: sorted(listing(self), reverse=True))
    dataset = named_dataset("drive", tmp_path)
    items = {item.id: item for item in dataset}
    assert not items["21"].masks
    for id_ in ("22", "36", "40", "01", "20"):
        assert np.array_equal(items[id_].read_mask("1st"), phantom(int(id_)).mask)
        assert np.array_equal(items[id_].read_image(), phantom(int(id_)).image)


def test_other_suffixes_and_capitals(tmp_path: Path) -> None:
    write_drive(tmp_path)
    old = tmp_path / "training/images/21_training.tif"
    old.unlink()
    save(tmp_path / "training/images/21_TRAINING.PNG", phantom(21).image)
    dataset = named_dataset("drive", tmp_path)
    assert np.array_equal(dataset.items[0].read_image(), phantom(21).image)


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    write_drive(tmp_path)
    (tmp_path / "training/images/Thumbs.db").write_bytes(b"x")
    (tmp_path / "training/images/._21_training.tif").write_bytes(b"x")
    (tmp_path / "training/images/readme.txt").write_text("x")
    assert len(named_dataset("drive", tmp_path)) == 40


def test_two_files_of_one_identifier(tmp_path: Path) -> None:
    write_drive(tmp_path)
    save(tmp_path / "training/images/21_training.png", phantom(21).image)
    with pytest.raises(DataError, match=r"21_training\.tif.*second file.*21_training\.png"):
        named_dataset("drive", tmp_path)


def test_paired_by_stem(tmp_path: Path) -> None:
    dataset = paired(write_paired(tmp_path, fov=True))
    assert sorted(item.id for item in dataset) == list("abcdefgh")
    for item in dataset:
        number = "abcdefgh".index(item.id)
        assert np.array_equal(item.read_mask("reference"), phantom(number).mask)
        assert np.array_equal(item.read_fov(), phantom(number).fov)


def test_paired_by_pattern(tmp_path: Path) -> None:
    for number in (3, 1, 2, 10):
        save(tmp_path / "images" / f"photo_{number:03d}_left.png", phantom(number).image)
        save(tmp_path / "masks" / f"vessels-{number:03d}.png", phantom(number).mask)
    dataset = paired(tmp_path, pattern=r"(?P<id>\d{3})")
    assert sorted(item.id for item in dataset) == ["001", "002", "003", "010"]
    for item in dataset:
        assert np.array_equal(item.read_mask("reference"), phantom(int(item.id)).mask)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "no regular expression"),
        (r"\d+", r"data\.pattern: found '\\d\+', which has no group `id`"),
        (r"(?P<id>\d+)", r"a\.png"),
    ],
)
def test_bad_patterns(tmp_path: Path, pattern: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        paired(write_paired(tmp_path), pattern=pattern)


def test_pattern_that_confuses_two_images(tmp_path: Path) -> None:
    write_paired(tmp_path, ["1_left", "1_right"])
    with pytest.raises(DataError, match=r"1_right\.png.*second file.*'1'.*1_left\.png"):
        paired(tmp_path, pattern=r"(?P<id>\d+)")


def test_mask_without_an_image(tmp_path: Path) -> None:
    write_paired(tmp_path)
    (tmp_path / "images/c.png").unlink()
    with pytest.raises(DataError, match=r"masks/c\.png: found no image with identifier 'c'"):
        paired(tmp_path)


def test_missing_dataset_says_where_it_looked_and_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VESSELFORGE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=rf"{tmp_path}/DRIVE: no such.*grand-challenge"):
        named_dataset("drive")
    with pytest.raises(DataError, match="elsewhere: no such dataset folder"):
        named_dataset("stare", tmp_path / "elsewhere")
    (tmp_path / "CHASE_DB1").mkdir()
    with pytest.raises(DataError, match=r"CHASE_DB1: found no image.*Image_01L\.jpg"):
        named_dataset("chase-db1")
    with pytest.raises(DataError, match="eyes: neither a folder nor a known dataset"):
        named_dataset("eyes")
    with pytest.raises(DataError, match=r"LES-AV: no such dataset folder; get LES-AV\.zip from"):
        named_dataset("les-av")


@pytest.mark.parametrize("name", ["DRIVE", "drive", "Drive"])
def test_found_by_its_usual_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_drive(tmp_path / name)
    monkeypatch.setenv("VESSELFORGE_DATA", str(tmp_path))
    assert named_dataset("drive").root == tmp_path / name
    monkeypatch.delenv("VESSELFORGE_DATA")
    monkeypatch.chdir(tmp_path)
    shutil.move(tmp_path / name, tmp_path / "datasets" / name)
    assert len(named_dataset("drive")) == 40


def test_phantom_needs_no_files() -> None:
    settings = DataSettings.model_validate(
        {"phantom": {"train": 2, "validation": 1, "test": 1, "size": 64}}
    )
    dataset = load_settings(settings)
    assert [item.split for item in dataset] == ["train", "train", "validation", "test"]
    item = dataset.items[0]
    image = item.read_image()
    assert image.shape == (64, 64, 3)
    assert item.read_mask("exact").shape == item.read_fov().shape == (64, 64)
    assert item.files() == {}


def test_a_dataset_is_one_entry_of_the_catalogue(tmp_path: Path) -> None:
    for id_ in ("1", "2", "3"):
        save(tmp_path / f"eyes/{id_}_eye.PNG", phantom(int(id_)).image)
        save(tmp_path / f"vessels/{id_}.gif", phantom(int(id_)).mask)
    known = KnownDataset(
        title="Mine",
        folder="MINE",
        origin="make it",
        licence="mine",
        image="eyes/{id}_eye.png",
        masks={"me": "vessels/{id}.gif"},
        folds=({"train": ("1",), "validation": ("2",), "test": ("3",)},),
    )
    dataset = read_known("mine", known, tmp_path, DataSettings())
    assert [(item.id, item.split) for item in dataset] == [
        ("1", "train"), ("2", "validation"), ("3", "test"),
    ]  # fmt: skip
    for item in dataset:
        assert np.array_equal(item.read_mask("me"), phantom(int(item.id)).mask)


def test_the_page_about_own_images_lists_every_set_with_its_splits() -> None:
    page = (Path(__file__).parents[2] / "docs/your-data.md").read_text()
    for name, known in DATASETS.items():
        sizes = [known.counts.get(split) or len(known.folds[0][split]) for split in SPLITS]
        assert f"| `{name}` | {sum(sizes)} | {' / '.join(map(str, sizes))} |" in page


def test_settings_take_the_names_of_the_catalogue() -> None:
    assert set(DATASETS) < set(NAMES)
    assert DataSettings.model_json_schema()["properties"]["name"]["enum"] == list(NAMES)
