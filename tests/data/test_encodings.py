"""The same picture in every encoding gives the same pixels, whatever it is read for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from picture_encodings import COLOUR, TWO, every, of_colour, of_two

from vesselforge.data.datasets import named_dataset
from vesselforge.data.formats.images import is_image_name, read_picture
from vesselforge.data.formats.masks import read_drawing
from vesselforge.data.imageset import load_image, load_picture, read_index
from vesselforge.data.layouts.check import check
from vesselforge.data.prepare import write_set
from vesselforge.engine.progress import Progress

pytestmark = pytest.mark.slow


def test_at_least_a_hundred_encodings_give_the_same_pixels(tmp_path: Path) -> None:
    files = every(tmp_path)
    assert len(files) > 140
    for path, expected in files:
        assert is_image_name(path), path.name
        assert np.array_equal(read_picture(path).rgb(), expected), path.name


def test_of_masks_too(tmp_path: Path) -> None:
    for name, write in of_two():
        write(tmp_path / name)
        assert np.array_equal(read_drawing(tmp_path / name).vessel, TWO > 0), name


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_prepared_for_training_is_what_is_read(tmp_path: Path, whole: bool) -> None:
    (tmp_path / "set" / "images").mkdir(parents=True)
    for number, (_, write) in enumerate(of_colour()):
        write(place(tmp_path / "set" / "images", number))
    if not whole:
        (tmp_path / "set" / "masks").mkdir()
        for path in (tmp_path / "set" / "images").iterdir():
            dict(of_two())["bit.png"](tmp_path / "set" / "masks" / f"{path.name.split('.')[0]}.png")
    dataset = named_dataset(str(tmp_path / "set" / "images" if whole else tmp_path / "set"))
    assert dataset.whole == whole
    rows = check(dataset).rows
    found = {row.sha256 for row in rows}
    assert None not in found
    assert len(found) == (5 if whole else 1)  # the generator's keep 8, 10, 12, 14 and 16 bits
    (tmp_path / "out").mkdir()
    write_set("made", list(dataset), tmp_path / "out", Progress())
    for record in read_index(tmp_path / "out"):
        assert np.array_equal(load_image(tmp_path / "out", record).image, COLOUR), record.id
        assert np.array_equal(load_picture(tmp_path / "out", record).rgb(), COLOUR), record.id


def place(folder: Path, number: int) -> Path:
    """Where an encoding is written: its own suffix, a name that cannot be mistaken."""
    name = list(of_colour())[number][0]
    suffix = (
        "".join(Path(name).suffixes[-2:]) if name.lower().endswith(".gz") else Path(name).suffix
    )
    return folder / f"n{number:03}{suffix}"
