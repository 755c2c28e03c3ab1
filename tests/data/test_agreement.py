"""Files that lie on each other, and depths that a set agrees on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from dataset_writers import phantom, write_paired
from numpy.typing import NDArray
from picture_encodings import BACK, exif, turned
from PIL import Image

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings, PrepareSettings
from vesselforge.data.datasets import named_dataset
from vesselforge.data.formats.images import orientation_of
from vesselforge.data.layouts.check import Report, check
from vesselforge.data.prepare import prepare
from vesselforge.engine.progress import Progress

pytestmark = pytest.mark.usefixtures("few_are_enough")

MADE = phantom(2)


def report(root: Path) -> Report:
    return check(named_dataset(str(root)))


def save(path: Path, pixels: NDArray[np.uint8] | NDArray[np.bool_], turn: int) -> None:
    """Stored so that a viewer shows the pixels; without a tag if it is 1."""
    stored = turned(np.ascontiguousarray(pixels), BACK[turn])
    Image.fromarray(stored).save(path, **({"exif": exif(turn)} if turn > 1 else {}))


@pytest.mark.parametrize("turn", range(1, 9))
def test_an_image_and_its_mask_with_the_same_tag(tmp_path: Path, turn: int) -> None:
    root = write_paired(tmp_path, fov=True)
    save(root / "images/c.png", MADE.image, turn)
    save(root / "masks/c.png", MADE.mask, turn)
    save(root / "fov/c.png", MADE.fov, turn)
    assert report(root).problems == []
    item = next(item for item in named_dataset(str(root)) if item.id == "c")
    assert np.array_equal(item.read_image(), MADE.image)
    assert np.array_equal(item.read_mask("reference"), MADE.mask)
    assert np.array_equal(item.read_fov(), MADE.fov)
    assert orientation_of(root / "images/c.png") == turn


@pytest.mark.parametrize("turn", range(2, 9))
@pytest.mark.parametrize("turned_file", ["images", "masks", "fov"])
def test_a_square_image_with_a_tag_of_its_own(tmp_path: Path, turn: int, turned_file: str) -> None:
    root = write_paired(tmp_path, fov=True)
    of = {"images": MADE.image, "masks": MADE.mask, "fov": MADE.fov}
    save(root / turned_file / "c.png", of[turned_file], turn)
    found = report(root).errors
    expected = ["fov", "masks"] if turned_file == "images" else [turned_file]
    assert [Path(problem.file).parent.name for problem in found] == expected
    for problem in found:
        assert problem.id == "c"
        assert f"EXIF orientation {turn}" in problem.sentence
        who = "the image is turned" if turned_file == "images" else "this file is turned"
        assert f"{who} by its EXIF" in problem.sentence
        assert "save both without this tag" in problem.sentence


def test_nothing_is_prepared_then(tmp_path: Path) -> None:
    root = write_paired(tmp_path / "set")
    save(root / "images/c.png", MADE.image, 3)
    settings = PrepareSettings(data=DataSettings(name="paired", root=root), part="development")
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match=r"masks/c\.png: it cannot be told .*EXIF orientation 3"):
        prepare(settings, {}, tmp_path / "out", Progress())
    assert not list((tmp_path / "out").iterdir())


def test_sizes_tell_where_a_side_is_longer(tmp_path: Path) -> None:
    root = write_paired(tmp_path)
    wide, mask = MADE.image[:40], MADE.mask[:40]
    save(root / "images/c.png", wide, 6)
    save(root / "masks/c.png", mask, 1)
    assert report(root).problems == []  # drawn on the image as it is shown
    save(root / "masks/c.png", turned(np.ascontiguousarray(mask), BACK[6]), 1)
    (problem,) = report(root).errors
    assert "found 64×40 pixels (height×width), expected 40×64" in problem.sentence
    assert "the image is turned by its EXIF orientation 6, this file is not" in problem.sentence
    save(root / "masks/c.png", mask, 8)  # as large, but the other way round or not?
    (problem,) = report(root).errors
    assert "cannot be told" in problem.sentence and "orientation 8" in problem.sentence


def deep(root: Path, factors: dict[str, int]) -> list[str]:
    """The warnings of a set some of whose images are grey of 16 bits, their values multiplied."""
    write_paired(root)
    for name, factor in factors.items():
        grey = phantom("abcdefgh".index(name)).image[..., 1].astype(np.uint16)
        grey[0, 0] = 255
        Image.fromarray(grey * np.uint16(factor)).save(root / f"images/{name}.png")
    found = report(root)
    assert found.errors == []
    return [problem.sentence for problem in found.warnings]


def test_depths_that_were_guessed_are_warned_about(tmp_path: Path) -> None:
    assert deep(tmp_path / "1", {"a": 257, "b": 257}) == []
    (said,) = deep(tmp_path / "2", {"a": 257, "b": 16, "c": 16, "d": 1})
    assert "as 8 bits d; as 12 bits b, c; as 16 bits a" in said
    (said,) = deep(tmp_path / "3", dict.fromkeys("abcdefgh", 16))
    assert "as 12 bits a, b, c and 5 more" in said
    (said,) = deep(tmp_path / "4", dict.fromkeys("abcdefgh", 20))
    assert "the brightest of all 16-bit values is 5100" in said


def test_guessed_depths_give_the_brightness_of_the_scene(tmp_path: Path) -> None:
    deep(tmp_path, {"a": 1, "b": 16, "c": 257})
    for item in named_dataset(str(tmp_path)):
        truth = phantom("abcdefgh".index(item.id)).image[..., 1].astype(int)
        truth[0, 0] = 255
        if item.id in "abc":
            assert np.abs(item.read_image()[..., 0].astype(int) - truth).max() <= 1
