"""The layout `images`: any folder of images for the generator alone, its check and its set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings, PrepareSettings
from vesselforge.data.datasets import load_settings
from vesselforge.data.formats.images import encode_png, read_picture
from vesselforge.data.imageset import load_image, load_picture, read_classes, read_index
from vesselforge.data.layouts.check import Report, check
from vesselforge.data.layouts.items import Dataset
from vesselforge.data.prepare import content_hash, prepare
from vesselforge.engine.files import file_sha256
from vesselforge.engine.progress import Progress

RNG = np.random.default_rng(1)


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside of the set."""
    return tmp_path_factory.mktemp("elsewhere")


def random(channels: int = 3, dtype: Any = np.uint8, size: tuple[int, int] = (12, 10)) -> Any:
    return RNG.integers(0, np.iinfo(dtype).max, (*size, channels), dtype=dtype)


def put(path: Path, pixels: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpg":
        Image.fromarray(pixels).save(path)
    else:
        path.write_bytes(encode_png(pixels))
    return path


def settings(root: Path, **options: Any) -> DataSettings:
    return DataSettings.model_validate({"name": "images", "root": root, **options})


def folder(root: Path, **options: Any) -> Dataset:
    return load_settings(settings(root, **options))


def prepared(root: Path, out: Path, **options: Any) -> Path:
    out.mkdir()
    work = PrepareSettings(data=settings(root, **options), part="development")
    prepare(work, {}, out, Progress())
    return out


def test_every_image_below_the_folder_is_found(tmp_path: Path) -> None:
    for name in ("a.png", "deep/er/b.png", ".hidden/c.png", "__MACOSX/a.png", "._d.png"):
        put(tmp_path / name, random())
    (tmp_path / "notes.txt").write_text("x")
    dataset = folder(tmp_path)
    assert [item.id for item in dataset] == ["a", "deep/er/b"]
    assert not dataset.split("test")
    assert dataset.problems == ()
    assert dataset.whole


def test_two_files_of_one_stem_are_two_images(tmp_path: Path, elsewhere: Path) -> None:
    put(tmp_path / "a.png", random())
    put(tmp_path / "a.jpg", random())
    put(tmp_path / "b.png", random())
    out = prepared(tmp_path, elsewhere / "out")
    assert sorted(r.image for r in read_index(out)) == [
        "images/a.jpg.png", "images/a.png.png", "images/b.png",
    ]  # fmt: skip


def test_images_are_held_back_but_never_for_a_test(tmp_path: Path) -> None:
    for i in range(40):
        put(tmp_path / f"{i}.png", random())
    dataset = folder(tmp_path)
    assert 2 <= len(dataset.split("validation")) <= 16
    assert len(dataset.split("train")) + len(dataset.split("validation")) == 40
    assert len(folder(tmp_path, validation_share=0).split("train")) == 40


def test_a_list_that_is_not_read_is_a_warning(tmp_path: Path) -> None:
    for name in "ab":
        put(tmp_path / f"{name}.png", random())
    (tmp_path / "splits.csv").write_text("id,split\na,validation\nb,train\n")
    (problem,) = folder(tmp_path).problems
    assert (problem.severity, problem.file) == ("warning", str(tmp_path / "splits.csv"))


def test_settings_of_the_layout() -> None:
    with pytest.raises(ValueError, match="images needs `root`"):
        DataSettings(name="images")
    with pytest.raises(ValueError, match="validation_share must be above 0"):
        DataSettings(name="paired", validation_share=0)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no image of images, expected image files"):
        folder(tmp_path)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_prepared_set_keeps_colours_and_bits(tmp_path: Path, channels: int, dtype: Any) -> None:
    pixels = random(channels, dtype)
    put(tmp_path / "set" / "a.png", pixels)
    out = prepared(tmp_path / "set", tmp_path / "out", validation_share=0)
    (record,) = read_index(out)
    assert (record.image, record.fov, record.mask, record.label) == ("images/a.png", *[None] * 3)
    found = load_picture(out, record).pixels
    assert np.array_equal(found, pixels)
    assert found.dtype == pixels.dtype


def test_segmenters_get_rgb_of_8_bits(tmp_path: Path, elsewhere: Path) -> None:
    pixels = random(3, np.uint16)
    put(tmp_path / "a.png", pixels)
    out = prepared(tmp_path, elsewhere / "out", validation_share=0)
    loaded = load_image(out, read_index(out)[0])
    assert np.array_equal(loaded.image, (pixels // 257).astype(np.uint8))
    assert loaded.fov.all()
    assert loaded.target is None


def test_photos_are_upright_in_the_set(tmp_path: Path, elsewhere: Path) -> None:
    pixels = random()
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.png", exif=exif)
    out = prepared(tmp_path, elsewhere / "out", validation_share=0)
    assert np.array_equal(read_picture(out / "images/a.png").rgb(), np.rot90(pixels, -1))


def test_labels_travel_with_the_images(tmp_path: Path, elsewhere: Path) -> None:
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png"):
        put(tmp_path / name, random())
    out = prepared(tmp_path, elsewhere / "out", validation_share=0)
    assert {r.id: r.label for r in read_index(out)} == {
        "cats/1": [1, 0], "cats/2": [1, 0], "dogs/1": [0, 1],
    }  # fmt: skip
    assert read_classes(out) == ["cats", "dogs"]
    assert json.loads((out / "metrics.json").read_text())["labelled"] == {"train": 3}
    (tmp_path / "dataset.json").write_text('{"labels": null}')
    bare = prepared(tmp_path, elsewhere / "bare", validation_share=0)
    assert read_classes(bare) == []
    assert "label" not in json.loads((bare / "index.json").read_text())["items"][0]


def test_labels_are_identity_however_they_are_given(tmp_path: Path) -> None:
    for name in ("cats/1.png", "dogs/1.png"):
        put(tmp_path / name, random())
    by_folder = content_hash(settings(tmp_path))
    (tmp_path / "dataset.json").write_text('{"labels": null}')
    plain = content_hash(settings(tmp_path))
    assert plain != by_folder
    (tmp_path / "dataset.json").unlink()
    (tmp_path / "labels.csv").write_text("name,label\ncats/1.png,0\ndogs/1.png,1\n")
    assert content_hash(settings(tmp_path)) == by_folder
    (tmp_path / "labels.csv").write_text("name,label\ncats/1.png,1\ndogs/1.png,0\n")
    assert content_hash(settings(tmp_path)) not in (plain, by_folder)


def sentences(report: Report, severity: str) -> list[str]:
    return [str(p) for p in report.problems if p.severity == severity]


def test_every_bad_file_is_named_at_once(tmp_path: Path, elsewhere: Path) -> None:
    put(tmp_path / "good.png", random())
    (tmp_path / "empty.png").touch()
    cut = put(tmp_path / "cut.png", random(size=(50, 50)))
    cut.write_bytes(cut.read_bytes()[:900])
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((8, 8), np.float32))
    (tmp_path / "labels.csv").write_text("name,label\ngood.png,zero\nother.png,1\n")
    report = check(folder(tmp_path))
    errors = "\n".join(sentences(report, "error"))
    assert len(report.errors) == 4
    for said in (
        f"{tmp_path}/empty.png: cannot be read",
        f"{tmp_path}/cut.png: cannot be read",
        f"{tmp_path}/float.tif: found floating-point pixels",
        f'{tmp_path}/labels.csv: line 2: found label "zero"',
    ):
        assert said in errors
    with pytest.raises(DataError, match=r"and 3 more; `vesselforge data check` lists all"):
        prepared(tmp_path, elsewhere / "out")
    assert list((elsewhere / "out").iterdir()) == []


def test_mixed_kinds_are_listed(tmp_path: Path) -> None:
    put(tmp_path / "rgb.png", random())
    put(tmp_path / "grey.png", random(1))
    put(tmp_path / "deep.png", random(3, np.uint16))
    report = check(folder(tmp_path))
    assert report.problems == []
    kinds_found = {mode for line in report.splits() for mode in line.get("channels", ())}
    assert kinds_found == {"RGB 8-bit", "grey 8-bit", "RGB 16-bit"}


def test_dark_deep_images_and_foreign_files_are_warned_of(tmp_path: Path) -> None:
    put(tmp_path / "a.png", random(1, np.uint16) // 16)  # 12 bits
    put(tmp_path / "b.png", random(1, np.uint16) // 12)
    (tmp_path / "photo.heic").touch()
    report = check(folder(tmp_path, validation_share=0))
    assert report.errors == []
    said = " ".join(sentences(report, "warning"))
    assert "were read as 12 bits a; as 16 bits b" in said
    assert "brightest of all 16-bit values is 5" in said
    assert "left out 1 .heic files" in said


def test_a_class_that_no_training_image_has_is_an_error(tmp_path: Path, elsewhere: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        put(tmp_path / name, random())
    (tmp_path / "labels.csv").write_text("name,label\na.png,0\nb.png,2\nc.png,2\n")
    message = "no training image has class 1, of 3 classes"
    [said] = sentences(check(folder(tmp_path, validation_share=0)), "error")
    assert message in said
    with pytest.raises(DataError, match=message):
        prepared(tmp_path, elsewhere / "out", validation_share=0)
    (tmp_path / "labels.csv").write_text("name,label\na.png,0\nb.png,1\nc.png,1\n")
    assert check(folder(tmp_path, validation_share=0)).errors == []
    [said] = sentences(check(folder(tmp_path, validation_share=0, exclude=["a"])), "error")
    assert "no training image has class 0, of 2 classes" in said


def test_a_class_whose_images_are_all_held_back_is_an_error(tmp_path: Path) -> None:
    """Sub-folders are classes, of a person each as like as not."""
    for i in range(12):
        put(tmp_path / str(i) / "eye.png", random())
    dataset = folder(tmp_path, validation_share=0.4)
    held = [item.id.split("/")[0] for item in dataset.split("validation")]
    assert held
    [said] = sentences(check(dataset), "error")
    assert f"no training image has class {', '.join(sorted(held))}, of 12 classes" in said
    (tmp_path / "dataset.json").write_text('{"labels": null}')
    assert check(folder(tmp_path, validation_share=0.4)).errors == []


def test_duplicates_are_a_warning_even_when_one_is_held_back(tmp_path: Path) -> None:
    pixels = random()
    for i in range(12):
        put(tmp_path / f"{i}.png", pixels)
    report = check(folder(tmp_path))
    assert report.errors == []
    assert len(sentences(report, "warning")) == 11


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    for number, (channels, dtype) in enumerate([(1, np.uint8), (3, np.uint8), (3, np.uint16)]):
        put(tmp_path / "set" / f"{number}.png", random(channels, dtype))
    first, second = (prepared(tmp_path / "set", tmp_path / n) for n in "12")
    names = sorted(p.relative_to(first) for p in first.rglob("*") if p.is_file())
    assert len(names) == 3 + 3
    assert all(file_sha256(first / n) == file_sha256(second / n) for n in names)
    assert str(tmp_path) not in (first / "check.json").read_text()
