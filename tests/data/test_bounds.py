"""Files that claim or unpack to more than an image is: refused before any of it is decoded."""

from __future__ import annotations

import gzip
import resource
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

import vesselforge.data.formats.images
from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import (
    MOST_PIXELS,
    open_picture,
    read_picture,
)
from vesselforge.data.imageset import ImageRecord, load_image


def png(width: int, height: int, bits: int = 8) -> bytes:
    """A few bytes of PNG that claim so many pixels."""
    body = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    parts = ((b"IHDR", body), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


@pytest.mark.parametrize("side", [10_001, 60_000])  # below and above what Pillow itself refuses
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", ["png", "png.gz"])
def test_a_header_that_claims_too_much(suffix: str, bits: int, side: int, tmp_path: Path) -> None:
    path = tmp_path / f"bomb.{suffix}"
    content = png(side, side, bits)
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    with pytest.raises(DataError) as caught:
        read_picture(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: found {side * side:,} pixels")
    assert f"expected at most {MOST_PIXELS:,}" in said and "cut the image" in said


def test_so_many_pixels_are_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vesselforge.data.formats.images, "MOST_PIXELS", 64)
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    Image.new("L", (13, 5)).save(tmp_path / "b.png")
    assert read_picture(tmp_path / "a.png").pixels.shape == (8, 8, 1)
    with pytest.raises(DataError, match=r"found 65 pixels \(5×13\), expected at most 64"):
        read_picture(tmp_path / "b.png")


def test_a_gigabyte_in_a_gzip_file_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "zeros.ppm.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for _ in range(1000):
            stream.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=r"zeros.ppm.gz: found more than 800,000,000 bytes"):
        read_picture(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


def test_the_files_of_an_image_set(tmp_path: Path) -> None:
    Image.new("RGB", (9, 7)).save(tmp_path / "image.png")
    (tmp_path / "mask.png").write_bytes(png(60_000, 60_000))
    record = ImageRecord("a", "train", "image.png", mask="mask.png")
    with pytest.raises(DataError, match=r"mask.png: found 3,600,000,000 pixels"):
        load_image(tmp_path, record)


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"icns"])
def test_formats_that_are_not_asked_for_are_not_opened(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"  # Pillow would hand the first one to Ghostscript
    path.write_bytes(content * 9)
    with pytest.raises(DataError, match="no known image format"):
        read_picture(path)


def test_a_picture_is_not_decoded_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    path.write_bytes(png(9, 7))
    with path.open("rb") as stream:
        assert open_picture(stream).size == (9, 7)
