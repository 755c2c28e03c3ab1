"""`data import`: a foreign folder becomes images/, masks/ and fov/, whole or not at all."""

from __future__ import annotations

import csv
import json
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dataset_writers import phantom, save, write_paired
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner, Result

from vesselforge.cli.main import main
from vesselforge.configs.errors import DataError
from vesselforge.data.datasets import named_dataset
from vesselforge.data.formats.images import read_picture
from vesselforge.data.layouts.importing import opened, plan
from vesselforge.engine.progress import Progress

STORED_AS = {3: 2, 6: 1, 8: 3}
"""EXIF orientation → quarter turns from the upright picture to the one that is stored."""


def said(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", "import", *map(str, arguments)])


def written(root: Path, out: Path, **options: str) -> Path:
    plan(root, **options).write(out, Progress())
    return out


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def photo(path: Path, upright: NDArray[np.uint8], orientation: int) -> Path:
    """A photograph that viewers show as `upright`, held differently."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.rot90(upright, STORED_AS[orientation]))
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif)
    return path


def wide(number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """[48, 64] an image and its mask."""
    made = phantom(number)
    return made.image[8:56], made.mask[8:56].astype(np.uint8) * 255


def test_a_foreign_folder_by_one_command(tmp_path: Path) -> None:
    for number in range(6):
        made, patient = phantom(number), tmp_path / "src" / f"patient {number // 2}"
        save(patient / f"eye {number % 2}.PNG", made.image)
        save(patient / f"eye {number % 2}_Manual1.gif", made.mask)
        save(patient / f"eye {number % 2}_fov.png", made.fov)
    (tmp_path / "src/photo.heic").touch()
    (tmp_path / "src/notes.txt").touch()
    done = said(tmp_path / "src", tmp_path / "mine")
    assert done.exit_code == 0, done.output
    assert "patient 1/eye 0_Manual1.gif" in done.stdout
    assert "left out, no images that can be read here: convert them: photo.heic" in done.stdout
    assert "6 images with masks written" in done.stderr and "sound" in done.stdout
    assert len(files(tmp_path / "mine")) == 18
    dataset = named_dataset(str(tmp_path / "mine"))
    assert sorted(i.id for i in dataset) == [f"patient {n}-eye {e}" for n in range(3) for e in "01"]
    for item in dataset:
        made = phantom(2 * int(item.id[8]) + int(item.id[-1]))
        assert np.array_equal(item.read_mask("reference"), made.mask)
        assert np.array_equal(item.read_fov(), made.fov)
        source = tmp_path / "src" / item.id.replace("-", "/")
        assert item.image.read_bytes() == source.with_suffix(".PNG").read_bytes()
    again = said(tmp_path / "src", tmp_path / "mine")
    assert again.exit_code == 2 and "is there already and not empty" in again.stderr


def test_a_dry_run_shows_and_writes_nothing(tmp_path: Path) -> None:
    write_paired(tmp_path / "src", "ab")
    (tmp_path / "src/images").rename(tmp_path / "src/Original")
    done = said(tmp_path / "src", tmp_path / "mine", "--dry-run", "--json")
    found = json.loads(done.stdout)
    assert found["matched"][1] == {
        "id": "b", "image": "Original/b.png", "mask": "masks/b.png", "FOV": None, "turned": [],
    }  # fmt: skip
    assert found["left_out"] == {}
    assert [path.name for path in tmp_path.iterdir()] == ["src"]
    whole = said(tmp_path / "src", tmp_path / "mine", "--json")
    assert json.loads(whole.stdout)["splits"][0]["images"] == 1


def test_a_zip_with_backslashes_and_a_folder_around(tmp_path: Path) -> None:
    write_paired(tmp_path / "src")
    with zipfile.ZipFile(tmp_path / "My data.zip", "w") as archive:
        for name in sorted(files(tmp_path / "src")):
            inside = f"My data v2\\{name}".replace("/", "\\").replace("masks", "Labels")
            archive.write(tmp_path / "src" / name, inside)
    done = said(tmp_path / "My data.zip", tmp_path / "mine")
    assert done.exit_code == 0, done.output
    assert files(tmp_path / "mine") == files(tmp_path / "src")
    with zipfile.ZipFile(tmp_path / "My data.zip", "a") as archive:
        archive.write(tmp_path / "src/masks/a.png", "My data v2\\Labels\\nobody.png")
    done = said(tmp_path / "My data.zip", tmp_path / "more")
    assert done.exit_code == 2
    assert f"error: {tmp_path}/My data.zip/Labels/nobody.png: found no image" in done.stderr
    with pytest.raises(DataError, match="no such folder or zip"), opened(tmp_path / "nothing"):
        pass


def test_a_pattern(tmp_path: Path) -> None:
    for number in (3, 1, 2, 10):
        save(tmp_path / "src/a" / f"photo_{number:03d}_left.png", phantom(number).image)
        save(tmp_path / "src/b" / f"{number:03d} drawn by me.png", phantom(number).mask)
    (tmp_path / "src/b").rename(tmp_path / "src/masks")
    refused = said(tmp_path / "src", tmp_path / "mine")
    assert refused.exit_code == 2 and "--pattern" in refused.stderr
    assert not (tmp_path / "mine").exists()
    done = said(tmp_path / "src", tmp_path / "mine", "--pattern", r"(?P<id>\d{3})")
    assert done.exit_code == 0, done.output
    assert files(tmp_path / "mine/images") == {f"{n}.png" for n in ("001", "002", "003", "010")}
    for item in named_dataset(str(tmp_path / "mine")):
        assert np.array_equal(item.read_mask("reference"), phantom(int(item.id)).mask)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a.png", "a_mask.png", "a_gt.png", "b.png", "b_mask.png"), "a_mask.png: found a second"),
        (("images/a.png", "images/b.png", "masks/a.png"), "no vessel mask for image 'b'"),
        (("images/a.png", "images/b.png", "masks/a.png", "masks/c.png"), "identifier 'c'"),
        (("x/a.png", "x/b.png", "x-drawn/a.png"), "found 3 images and no masks; name the folder"),
        (("photos/a.png", "photos/b.png", "by hand/a.png"), "left out 1 .png files (by hand/a.png"),
        (("images/a/1.png", "images/a-1.png", "masks/a-1.png"), "expected one image"),
        (("masks/a.png", "notes.txt"), "identifier 'a'"),
        (("notes.txt",), "found no image"),
    ],
)
def test_whatever_is_not_clear_is_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    for name in names:
        save(tmp_path / "src" / name, np.zeros((4, 4), np.uint8)) if "png" in name else None
    (tmp_path / "src").mkdir(exist_ok=True)
    done = said(tmp_path / "src", tmp_path / "mine")
    assert done.exit_code == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "mine").exists()


def test_nothing_is_written_into_the_source_or_after_a_fault(tmp_path: Path) -> None:
    write_paired(tmp_path / "src")
    with pytest.raises(DataError, match="lies in the folder that is imported"):
        written(tmp_path / "src", tmp_path / "src/out")
    planned = plan(tmp_path / "src")
    (tmp_path / "src/masks/h.png").unlink()  # behind its back
    with pytest.raises(Exception, match=r"h\.png"):
        planned.write(tmp_path / "out", Progress())
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("drawn", ["tagged", "stored", "upright"])
def test_turned_photos_are_written_upright_with_their_masks(
    tmp_path: Path, orientation: int, drawn: str
) -> None:
    for number in range(2):
        image, mask = wide(number)
        photo(tmp_path / f"src/images/{number}.png", image, orientation)
        path = tmp_path / f"src/masks/{number}.png"
        if drawn == "tagged":
            photo(path, mask, orientation)
        else:
            save(path, np.rot90(mask, STORED_AS[orientation]) if drawn == "stored" else mask)
    if orientation == 3 and drawn != "tagged":  # the same size either way
        with pytest.raises(DataError, match="--masks-drawn-on stored or upright"):
            plan(tmp_path / "src")
        out = written(tmp_path / "src", tmp_path / "out", drawn_on=drawn)
    else:
        assert plan(tmp_path / "src").rows()[0]["turned"][0] == "images"
        out = written(tmp_path / "src", tmp_path / "out")
    for number in range(2):
        image, mask = wide(number)
        assert np.array_equal(read_picture(out / f"images/{number}.png").rgb(), image)
        assert np.array_equal(read_picture(out / f"masks/{number}.png").grey(), mask)
        assert Image.open(out / f"images/{number}.png").getexif().get(0x0112, 1) == 1


def test_names_of_copies(tmp_path: Path) -> None:
    accent = unicodedata.normalize("NFD", "é")
    save(tmp_path / f"src/images/{accent}.b.ppm.gz", phantom(0).image)
    save(tmp_path / f"src/masks/{accent}.b_mask.GIF", phantom(0).mask)
    save(tmp_path / "src/images/c.JPEG", phantom(1).image)
    save(tmp_path / "src/masks/c.png", phantom(1).mask)
    out = written(tmp_path / "src", tmp_path / "out")
    assert files(out) == {"images/é.b.ppm.gz", "masks/é.b.GIF", "images/c.JPEG", "masks/c.png"}


def test_splits_of_folders_are_written_down(tmp_path: Path) -> None:
    for part, names in (("train", "abcdefghij"), ("Test", "abc")):
        write_paired(tmp_path / "src" / part, names)
    planned = plan(tmp_path / "src")
    planned.write(tmp_path / "out", Progress())
    rows = list(csv.DictReader((tmp_path / "out/splits.csv").open()))
    assert {row["id"] for row in rows} == {
        path[7:-4] for path in files(tmp_path / "out") if "im" in path
    }
    assert {row["split"] for row in rows if row["id"].startswith("Test-")} == {"test"}
    train = {row["id"]: row["split"] for row in rows if row["id"].startswith("train-")}
    assert [id_ for id_ in train if train[id_] == "validation"] == ["train-e", "train-j"]
    assert set(train.values()) == {"train", "validation"}
    assert planned.rows()[0]["split"] == "test"
    own = write_paired(tmp_path / "own", "ab")
    (own / "splits.csv").write_text("id,split\na,train\nb,validation\n")
    kept = written(own, tmp_path / "kept") / "splits.csv"
    assert kept.read_text() == (own / "splits.csv").read_text()


def test_a_list_that_names_files_is_written_by_identifier(tmp_path: Path) -> None:
    src = write_paired(tmp_path / "src", ["photo_01", "photo_02"])
    (src / "Splits.CSV").write_text(
        "id;group;split\nphoto_02.png;B;train\nphoto_01.png;A;validation\n"
    )
    out = written(src, tmp_path / "out", pattern=r"(?P<id>\d\d)")
    assert (out / "splits.csv").read_text() == "id,split,group\n01,validation,A\n02,train,B\n"
    assert {item.id: item.split for item in named_dataset("paired", out)} == {
        "01": "validation",
        "02": "train",
    }
    (src / "Splits.CSV").write_text("id,split\nphoto_03,train\n")
    with pytest.raises(DataError, match=r"Splits\.CSV: line 2: found no image"):
        plan(src)
