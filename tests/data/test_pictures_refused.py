"""Image files that are refused, each with its reason in one line that begins with its name."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import Picture, read_picture

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 65536, (7, 9, 4), dtype=np.uint16)
FLAT = RNG.integers(0, 256, (7, 9, 4), dtype=np.uint8)


def float_tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", RNG.random((7, 9, 3), dtype=np.float32), photometric="rgb")
    return folder / "a.tif"


def grey_float_tiff(folder: Path) -> Path:
    Image.fromarray(RNG.random((7, 9), dtype=np.float32)).save(folder / "a.tif")
    return folder / "a.tif"


def wide_tiff(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", DEEP[..., 0].astype(np.uint32) << 8)
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


def five_channels(folder: Path) -> Path:
    tifffile.imwrite(
        folder / "a.tif", FLAT[..., [0, 1, 2, 3, 0, 1, 2]], photometric="minisblack",
        planarconfig="contig",
    )  # fmt: skip
    return folder / "a.tif"


ODD_TIFF = "no known image format, or a TIFF of other than 8 or 16 bits, grey or RGB"
REFUSED: dict[Callable[[Path], Path], str] = {
    float_tiff: ODD_TIFF,
    five_channels: ODD_TIFF,
    grey_float_tiff: "floating-point pixels",
    wide_tiff: "32-bit or signed integers, expected 8 or 16 bits",
    signed_tiff: "32-bit or signed integers",
    pages: "found 5 frames or pages, expected one image",
    animation: "found 3 frames or pages, expected one image",
    deep_ppm: "PPM of more than 8 bits",
    vast_tiff: "10,000,000,000 pixels, expected at most 100,000,000",
    lab_tiff: "colours of the kind LAB",
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_refused_with_the_reason(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    with pytest.raises(DataError) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert REFUSED[make] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 3, 30, 0.5, 0.9])
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "gif", "ppm", "deep.png", "deep.tif"])
def test_truncated_files_are_named(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    big = RNG.integers(0, 65536, (40, 40, 3), dtype=np.uint16)
    if suffix == "deep.png":
        path.write_bytes(imagecodecs.png_encode(big))
    elif suffix == "deep.tif":
        tifffile.imwrite(path, big, photometric="rgb", compression="zlib")
    else:
        Image.fromarray(Picture(big).rgb()).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(DataError, match=r"found \d+ bytes, expected a whole") as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path}: cannot be read")
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_in_a_deep_png_is_found(tmp_path: Path) -> None:
    content = bytearray(imagecodecs.png_encode(DEEP[..., :3].copy()))
    content[content.index(b"IDAT") + 20] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png: cannot be read"):
        read_picture(tmp_path / "a.png")


def test_an_image_without_pixels(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 0, 0, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b""))
    (tmp_path / "a.png").write_bytes(content + chunk(b"IEND", b""))
    with pytest.raises(DataError, match=r"a\.png: "):
        read_picture(tmp_path / "a.png")
