"""Image files of every kind: which channels and bits are read, which files are refused, and why."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.channels import (
    as_grey,
    as_rgb,
    eight_bit,
    named,
    premultiplied,
    sixteen_bit,
    straight,
)
from vesselforge.data.formats.native import Native, read_native, suffix_for, write_native

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (7, 9, 4), dtype=np.uint16)
FLAT = RNG.integers(0, 256, (7, 9, 4), dtype=np.uint8)


def read(path: Path) -> tuple[NDArray[Any], bool]:
    found = read_native(path)
    return found.pixels, found.alpha


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("count", "alpha", "suffix"),
    [
        (1, False, ".png"), (2, True, ".png"), (3, False, ".png"), (4, True, ".png"),
        (2, False, ".tif"), (4, False, ".tif"), (5, False, ".tif"), (6, True, ".tif"),
    ],
)  # fmt: skip
def test_what_is_written_is_read(
    tmp_path: Path, bits: int, count: int, alpha: bool, suffix: str
) -> None:
    dtype = np.uint16 if bits == 16 else np.uint8
    pixels = RNG.integers(0, 2**bits, (7, 9, count), dtype=dtype)
    path = tmp_path / f"a{suffix_for(count, alpha)}"
    assert path.suffix == suffix
    write_native(path, Native(pixels, alpha))
    found, has_alpha = read(path)
    assert np.array_equal(found, pixels)
    assert found.dtype == dtype
    assert has_alpha == alpha
    once = path.read_bytes()
    write_native(path, Native(pixels, alpha))
    assert path.read_bytes() == once


def palette(path: Path) -> NDArray[Any]:
    picture = Image.fromarray(FLAT[..., 0] % 4, mode="P")
    picture.putpalette([*range(12)])
    picture.save(path)
    return np.arange(12, dtype=np.uint8).reshape(4, 3)[FLAT[..., 0] % 4]


def transparent_palette(path: Path) -> NDArray[Any]:
    colours = palette(path)
    Image.open(path).save(path, transparency=2)
    alpha = np.where(FLAT[..., :1] % 4 == 2, 0, 255).astype(np.uint8)
    return np.dstack([colours, alpha])


def one_bit(path: Path) -> NDArray[Any]:
    bits = FLAT[..., 0] > 99
    Image.fromarray(bits).save(path)
    return (bits * 255).astype(np.uint8)[..., None]


def grey_alpha(path: Path) -> NDArray[Any]:
    Image.fromarray(FLAT[..., :2], mode="LA").save(path)
    return FLAT[..., :2]


def deep_grey(path: Path) -> NDArray[Any]:
    Image.fromarray(DEEP[..., 0]).save(path)
    return DEEP[..., :1]


def deep_rgb(path: Path) -> NDArray[Any]:
    path.write_bytes(imagecodecs.png_encode(DEEP[..., :3].copy()))
    return DEEP[..., :3]


ODD = [palette, transparent_palette, one_bit, grey_alpha, deep_grey, deep_rgb]


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)
def test_odd_png(tmp_path: Path, make: Callable[[Path], NDArray[Any]]) -> None:
    expected = make(tmp_path / "a.png")
    found, alpha = read(tmp_path / "a.png")
    assert np.array_equal(found, expected)
    assert found.dtype == expected.dtype
    assert alpha == (expected.shape[2] in (2, 4))


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_deep_colour_tiff(tmp_path: Path, compression: str | None, planar: str) -> None:
    pixels = DEEP[..., :3] if planar == "contig" else np.moveaxis(DEEP[..., :3], -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", planarconfig=planar, compression=compression
    )
    assert np.array_equal(read(tmp_path / "a.tif")[0], DEEP[..., :3])


def test_alpha_of_tiff_is_what_the_file_says(tmp_path: Path) -> None:
    for extra, expected in (("unassalpha", DEEP), ("unspecified", DEEP), ("assocalpha", None)):
        pixels = premultiplied(DEEP) if expected is None else DEEP
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=[extra])
        found, alpha = read(tmp_path / "a.tif")
        assert alpha == (extra != "unspecified")
        assert np.array_equal(found, straight(pixels) if expected is None else expected)


def test_white_is_zero(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", 65535 - DEEP[..., 0], photometric="miniswhite")
    assert np.array_equal(read(tmp_path / "a.tif")[0], DEEP[..., :1])


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    found, alpha = read(tmp_path / "a.jpg")
    assert found.shape == (8, 16, 3)
    assert not alpha
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
    assert np.array_equal(read_native(path).pixels, turned)
    lying = read_native(path, upright=False).pixels
    assert lying.shape == (turned.shape if suffix == "tif" else blocks.shape)


def test_deep_images_are_turned_too(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", DEEP[..., :3], photometric="rgb", extratags=[(274, "H", 1, 6, True)]
    )
    assert np.array_equal(read(tmp_path / "a.tif")[0], np.rot90(DEEP[..., :3], -1))


def test_sixteen_bit_pgm(tmp_path: Path) -> None:
    content = b"P5 9 7 65535\n" + DEEP[..., 0].astype(">u2").tobytes()
    (tmp_path / "a.pgm").write_bytes(content)
    assert np.array_equal(read(tmp_path / "a.pgm")[0], DEEP[..., :1])


def test_a_packed_ppm(tmp_path: Path) -> None:
    import gzip

    memory = io.BytesIO()
    Image.fromarray(FLAT[..., :3]).save(memory, format="PPM")
    (tmp_path / "a.ppm.gz").write_bytes(gzip.compress(memory.getvalue()))
    assert np.array_equal(read(tmp_path / "a.ppm.gz")[0], FLAT[..., :3])


def float_tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", RNG.random((7, 9, 3), dtype=np.float32), photometric="rgb")
    return folder / "a.tif"


def grey_float_tiff(folder: Path) -> Path:
    Image.fromarray(RNG.random((7, 9), dtype=np.float32)).save(folder / "a.tif")
    return folder / "a.tif"


def wide_tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", DEEP[..., 0].astype(np.uint32))
    return folder / "a.tif"


def signed_tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", DEEP[..., 0].astype(np.int16))
    return folder / "a.tif"


def pages(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", DEEP[..., 0][None].repeat(5, 0), photometric="minisblack")
    return folder / "a.tif"


def animation(folder: Path) -> Path:
    frames = [Image.fromarray(FLAT[..., i]) for i in range(3)]
    frames[0].save(folder / "a.gif", save_all=True, append_images=frames[1:])
    return folder / "a.gif"


def deep_ppm(folder: Path) -> Path:
    content = b"P6 9 7 65535\n" + DEEP[..., :3].astype(">u2").tobytes()
    (folder / "a.ppm").write_bytes(content)
    return folder / "a.ppm"


def vast_tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", DEEP[..., :3], photometric="rgb", rowsperstrip=7)
    content = (folder / "a.tif").read_bytes()
    for tag in (256, 257):  # width and length: 100,000 each, of 378 bytes of pixels
        entry = content.index(struct.pack("<HHI", tag, 4, 1))
        content = content[: entry + 8] + struct.pack("<I", 100_000) + content[entry + 12 :]
    (folder / "a.tif").write_bytes(content)
    return folder / "a.tif"


def lab_tiff(folder: Path) -> Path:
    Image.new("LAB", (9, 7)).save(folder / "a.tif")
    return folder / "a.tif"


REFUSED: dict[Callable[[Path], Path], str] = {
    float_tiff: "floating-point pixels, expected 8 or 16 bits",
    grey_float_tiff: "floating-point pixels",
    wide_tiff: "pixels of 32 bits, expected unsigned 8 or 16 bits",
    signed_tiff: "int16, expected unsigned",
    pages: "a stack of 5 pages",
    animation: "found 3 frames or pages, expected one image",
    deep_ppm: "PPM of more than 8 bits",
    vast_tiff: "10,000,000,000 pixels (100000×100000), expected at most 100,000,000",
    lab_tiff: "colours of the kind LAB",
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_refused_with_the_reason(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    with pytest.raises(DataError) as caught:
        read_native(path)
    assert str(caught.value).startswith(f"{path}: found ")
    assert REFUSED[make] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 3, 30, 0.5, 0.9])
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "deep.png", "deep.tif"])
def test_truncated_files_are_named(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    big = RNG.integers(0, 65536, (40, 40, 3), dtype=np.uint16)
    if suffix == "deep.png":
        path.write_bytes(imagecodecs.png_encode(big))
    elif suffix == "deep.tif":
        tifffile.imwrite(path, big, photometric="rgb", compression="zlib")
    else:
        Image.fromarray(eight_bit(big)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(DataError, match=r"found \d+ bytes, expected a whole") as caught:
        read_native(path)
    assert str(caught.value).startswith(f"{path}: cannot be read")
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_a_deep_png_is_found(tmp_path: Path) -> None:
    content = bytearray(imagecodecs.png_encode(DEEP[..., :3].copy()))
    content[content.index(b"IDAT") + 20] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png: cannot be read"):
        read_native(tmp_path / "a.png")


def test_an_image_without_pixels(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 0, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b""))
    (tmp_path / "a.png").write_bytes(content + chunk(b"IEND", b""))
    with pytest.raises(DataError, match=r"a\.png: "):
        read_native(tmp_path / "a.png")


def test_conversions_agree_with_pillow() -> None:
    picture = Image.fromarray(FLAT[..., :3])
    assert np.array_equal(as_grey(FLAT[..., :3], False, "a")[..., 0], picture.convert("L"))
    grey = FLAT[..., :1]
    assert np.array_equal(as_grey(as_rgb(grey, False, "a"), False, "a"), grey)
    assert np.array_equal(eight_bit(sixteen_bit(FLAT)), FLAT)


def test_alpha_is_premultiplied_and_taken_out_again() -> None:
    over_black = premultiplied(FLAT).astype(float)
    exact = FLAT[..., :3].astype(float) * FLAT[..., 3:] / 255
    assert np.abs(over_black[..., :3] - exact).max() <= 0.5
    assert np.array_equal(as_rgb(FLAT, True, "a"), over_black[..., :3])
    opaque = FLAT.copy()
    opaque[..., 3] = 255
    assert np.array_equal(premultiplied(opaque), opaque)
    back = straight(premultiplied(DEEP))
    solid = DEEP[..., 3] > 60000
    assert solid.any()
    assert np.abs(back[solid].astype(int) - DEEP[solid]).max() <= 1
    assert not straight(np.array([[[7, 7, 7, 0]]], np.uint8))[..., :3].any()


def test_channels_without_a_meaning_are_not_colour() -> None:
    with pytest.raises(DataError, match=r"b\.tif: found 5 channels 8-bit.*native"):
        as_rgb(np.zeros((2, 2, 5), np.uint8), False, "b.tif")
    assert named(4, 16, True) == "RGBA 16-bit"
