"""Image files of every kind: which colours and bits are read."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vesselforge.data.formats.images import Picture, encode_png, read_picture

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (7, 9, 4), dtype=np.uint16)
FLAT = RNG.integers(0, 256, (7, 9, 4), dtype=np.uint8)


def read(path: Path) -> NDArray[Any]:
    return read_picture(path).pixels


def on_black(pixels: NDArray[Any]) -> NDArray[Any]:
    top = np.iinfo(pixels.dtype).max
    exact = pixels[..., :-1].astype(float) * pixels[..., -1:] / top
    return np.floor(exact + 0.5).astype(pixels.dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("count", [1, 3])
def test_what_is_written_is_read(tmp_path: Path, dtype: Any, count: int) -> None:
    pixels = (DEEP if dtype == np.uint16 else FLAT)[..., :count]
    (tmp_path / "a.png").write_bytes(encode_png(pixels))
    found = read(tmp_path / "a.png")
    assert np.array_equal(found, pixels)
    assert found.dtype == dtype
    assert encode_png(pixels) == (tmp_path / "a.png").read_bytes()


def palette(path: Path) -> NDArray[Any]:
    picture = Image.fromarray(FLAT[..., 0] % 4, mode="P")
    picture.putpalette([*range(12)])
    picture.save(path)
    return np.arange(12, dtype=np.uint8).reshape(4, 3)[FLAT[..., 0] % 4]


def transparent_palette(path: Path) -> NDArray[Any]:
    colours = palette(path)
    Image.open(path).save(path, transparency=2)
    return np.where(FLAT[..., :1] % 4 == 2, 0, colours).astype(np.uint8)


def one_bit(path: Path) -> NDArray[Any]:
    bits = FLAT[..., 0] > 99
    Image.fromarray(bits).save(path)
    return (bits * 255).astype(np.uint8)[..., None]


def grey_alpha(path: Path) -> NDArray[Any]:
    Image.fromarray(FLAT[..., :2], mode="LA").save(path)
    return on_black(FLAT[..., :2])


def colour_alpha(path: Path) -> NDArray[Any]:
    Image.fromarray(FLAT).save(path)
    return on_black(FLAT)


def deep_alpha(path: Path) -> NDArray[Any]:
    path.write_bytes(imagecodecs.png_encode(DEEP.copy()))
    return on_black(DEEP)


def deep_grey(path: Path) -> NDArray[Any]:
    Image.fromarray(DEEP[..., 0]).save(path)
    return DEEP[..., :1]


def deep_rgb(path: Path) -> NDArray[Any]:
    path.write_bytes(imagecodecs.png_encode(DEEP[..., :3].copy()))
    return DEEP[..., :3]


ODD = [
    palette, transparent_palette, one_bit, grey_alpha, colour_alpha, deep_grey, deep_rgb, deep_alpha
]  # fmt: skip


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)
def test_odd_png(tmp_path: Path, make: Callable[[Path], NDArray[Any]]) -> None:
    expected = make(tmp_path / "a.png")
    found = read(tmp_path / "a.png")
    assert np.array_equal(found, expected)
    assert found.dtype == expected.dtype


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_deep_colour_tiff(tmp_path: Path, compression: str | None, planar: str) -> None:
    pixels = DEEP[..., :3] if planar == "contig" else np.moveaxis(DEEP[..., :3], -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", planarconfig=planar, compression=compression
    )
    assert np.array_equal(read(tmp_path / "a.tif"), DEEP[..., :3])


@pytest.mark.parametrize("pixels", [FLAT, DEEP], ids=["8", "16"])
def test_alpha_of_tiff_is_what_the_file_says(tmp_path: Path, pixels: NDArray[Any]) -> None:
    black = on_black(pixels)
    for extra, expected in {"unassalpha": black, "unspecified": pixels[..., :3]}.items():
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=[extra])
        assert np.array_equal(read(tmp_path / "a.tif"), expected), extra
    made = np.dstack([black, pixels[..., 3:]])  # multiplied already
    tifffile.imwrite(tmp_path / "a.tif", made, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(read(tmp_path / "a.tif").astype(int) - black).max() <= 1


def test_white_is_zero(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", 65535 - DEEP[..., 0], photometric="miniswhite")
    assert np.array_equal(read(tmp_path / "a.tif"), DEEP[..., :1])


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    found = read(tmp_path / "a.jpg")
    assert found.shape == (8, 16, 3)
    assert np.abs(found.astype(int) - [255, 0, 0]).max() < 6


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg"])
def test_images_are_turned_as_their_tag_says(tmp_path: Path, orientation: int, suffix: str) -> None:
    blocks = np.kron(RNG.integers(0, 2, (2, 3, 3)), np.ones((8, 8, 1))).astype(np.uint8) * 255
    picture = Image.fromarray(blocks)
    exif = picture.getexif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    picture.save(path, exif=exif, quality=100)
    with Image.open(path) as opened:
        turned = np.asarray(ImageOps.exif_transpose(opened))
    found = read_picture(path)
    assert np.array_equal(found.pixels, turned)
    assert found.turn == orientation


def test_deep_images_are_turned_too(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", DEEP[..., :3], photometric="rgb", extratags=[(274, "H", 1, 6, True)]
    )
    found = read_picture(tmp_path / "a.tif").pixels
    assert np.array_equal(found, np.rot90(DEEP[..., :3], -1))


def test_sixteen_bit_pgm(tmp_path: Path) -> None:
    content = b"P5 9 7 65535\n" + DEEP[..., 0].astype(">u2").tobytes()
    (tmp_path / "a.pgm").write_bytes(content)
    assert np.array_equal(read(tmp_path / "a.pgm"), DEEP[..., :1])


def test_a_packed_ppm(tmp_path: Path) -> None:
    import gzip

    memory = io.BytesIO()
    Image.fromarray(FLAT[..., :3]).save(memory, format="PPM")
    (tmp_path / "a.ppm.gz").write_bytes(gzip.compress(memory.getvalue()))
    assert np.array_equal(read(tmp_path / "a.ppm.gz"), FLAT[..., :3])


def test_conversions_agree_with_pillow() -> None:
    picture = Image.fromarray(FLAT[..., :3])
    assert np.array_equal(Picture(FLAT[..., :3]).grey(), picture.convert("L"))
    assert np.array_equal(Picture(Picture(FLAT[..., :1]).rgb()).grey(), FLAT[..., 0])
    deep = FLAT[..., :3].astype(np.uint16) * np.uint16(257)
    assert np.array_equal(Picture(deep).rgb(), FLAT[..., :3])


def test_pictures_say_what_they_are() -> None:
    assert Picture(DEEP[..., :3]).mode == "RGB 16-bit"
    assert Picture(FLAT[..., :1]).mode == "grey 8-bit"
    shallow = Picture(FLAT[..., :1].astype(np.uint16))  # 8 bits in a file of 16
    assert np.array_equal(shallow.grey(), FLAT[..., 0])
