"""Reading image files: many formats, one pixel grid, and errors that name the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from dataset_writers import phantom, save
from PIL import Image

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import Picture, is_image_name, read_picture, stem_of
from vesselforge.data.formats.masks import drawing_of, read_drawing


@pytest.mark.parametrize("suffix", ["tif", "png", "ppm", "bmp", "ppm.gz"])
def test_lossless_formats_give_the_same_pixels(tmp_path: Path, suffix: str) -> None:
    image = phantom(0).image
    assert np.array_equal(read_picture(save(tmp_path / f"a.{suffix}", image)).rgb(), image)


def test_jpeg_is_close(tmp_path: Path) -> None:
    image = phantom(0).image
    found = read_picture(save(tmp_path / "a.jpg", image)).rgb().astype(int)
    assert np.abs(found - image).mean() < 6


@pytest.mark.parametrize("suffix", ["gif", "png", "pgm", "tif"])
def test_masks_of_all_formats(tmp_path: Path, suffix: str) -> None:
    mask = phantom(0).mask
    assert np.array_equal(read_drawing(save(tmp_path / f"a.{suffix}", mask)).vessel, mask)


def test_mask_of_one_bit_and_of_a_palette(tmp_path: Path) -> None:
    mask = phantom(0).mask
    Image.fromarray(mask).save(tmp_path / "bit.png")
    assert np.array_equal(read_drawing(tmp_path / "bit.png").vessel, mask)
    palette = Image.fromarray(mask.astype(np.uint8), mode="P")
    palette.putpalette([3, 3, 3, 253, 253, 253])  # as the second observer of DRIVE
    palette.save(tmp_path / "palette.gif")
    assert np.array_equal(read_drawing(tmp_path / "palette.gif").vessel, mask)


@pytest.mark.parametrize("white", [1, 64, 255])
def test_two_values_are_a_mask_whatever_the_brighter_one_is(white: int) -> None:
    mask = phantom(0).mask
    assert np.array_equal(drawing_of(Picture(mask[..., None] * np.uint8(white)), {}).vessel, mask)


def test_one_value_is_all_or_nothing() -> None:
    assert not drawing_of(Picture(np.zeros((4, 4, 1), np.uint8)), {}).vessel.any()
    assert drawing_of(Picture(np.full((4, 4, 1), 255, np.uint8)), {}).vessel.all()


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    assert np.array_equal(
        read_picture(tmp_path / "deep.png").grey(), (ramp // 257).astype(np.uint8)
    )


def test_text_under_an_image_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("not found")
    with pytest.raises(DataError, match=r"a\.png"):
        read_picture(tmp_path / "a.png").rgb()


def test_gzip_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "a.ppm.gz").write_bytes(gzip.compress(b"hello"))
    with pytest.raises(DataError, match=r"a\.ppm\.gz"):
        read_picture(tmp_path / "a.ppm.gz").rgb()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.png: no such file"):
        read_picture(tmp_path / "none.png").rgb()


def test_names() -> None:
    assert stem_of(Path("im0001.ah.ppm.gz")) == "im0001.ah"
    assert stem_of(Path("visit.2024.png")) == "visit.2024"
    assert is_image_name(Path("a.TIF"))
    assert not is_image_name(Path("._a.tif"))  # what macOS leaves in archives
    assert not is_image_name(Path("Thumbs.db"))
