"""Seeded damage to images, safetensors and zip archives, by mutators as in `mutators`."""

from __future__ import annotations

import gzip
import io
import json
import struct
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from random import Random

import numpy as np
from PIL import Image

from benchmarks.reliability.mutators import (
    Mutated,
    Mutator,
    changed_value,
    flipped,
    foreign,
    head_lost,
    overwritten,
    truncated,
)

# -- images ---------------------------------------------------------------------------------------


def png_claim(width: int, height: int, deep: bool = False) -> bytes:
    """A small PNG file whose header claims that many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 16 if deep else 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b""))
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def bomb(random: Random, content: bytes) -> Mutated:
    side = random.choice((11_000, 60_000, 2_000_000, 2**31 - 1))
    return png_claim(side, side, random.random() < 0.5), f"claims {side}×{side} pixels", True


def small_header(random: Random, content: bytes) -> Mutated:
    """Sides of nothing, or of one pixel where there are more."""
    width, height = random.choice(((0, 0), (0, 64), (1, 2**20)))
    return png_claim(width, height), f"claims {width}×{height} pixels", True


IMAGE: tuple[Mutator, ...] = (truncated, truncated, overwritten, head_lost, foreign, foreign, bomb,
                              small_header, flipped)  # fmt: skip


def labels(random: Random, content: bytes) -> Mutated:
    """A mask of three values or colours, as of arteries and veins, or of pixels to be ignored."""
    colours = random.choice(
        (((0, 0, 0), (128,) * 3, (255,) * 3), ((0, 0, 0), (1,) * 3, (2,) * 3),
         ((0, 0, 0), (255, 0, 0), (0, 0, 255)))
    )  # fmt: skip
    return _striped(colours, 64), f"labels of {colours}", True


def turned(random: Random, content: bytes) -> Mutated:
    """A mask with a tag that turns it, of the sides of its image or of others."""
    tag, height = random.choice((2, 3, 5, 6, 8, 9)), random.choice((64, 64, 80))
    made = _striped(((0, 0, 0), (0, 0, 0), (255,) * 3), height, tag)
    return made, f"{height} rows, turned by tag {tag}", False


def _striped(colours: Sequence[tuple[int, ...]], height: int, turn: int = 1) -> bytes:
    """A PNG of 64 columns in stripes of three colours. turn: its EXIF orientation."""
    stripes = np.asarray(colours, np.uint8)[np.arange(64) // 7 % 3]
    picture = Image.fromarray(np.ascontiguousarray(np.broadcast_to(stripes, (height, 64, 3))))
    exif, stream = picture.getexif(), io.BytesIO()
    exif[0x0112] = turn
    picture.save(stream, "PNG", exif=exif)
    return stream.getvalue()


MASK: tuple[Mutator, ...] = (*IMAGE, labels, labels, turned)


def gzip_bomb(random: Random, content: bytes) -> Mutated:
    """A megabyte of file, a gigabyte of zeros."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", compresslevel=9, mtime=0) as packed:
        for _ in range(1000):
            packed.write(bytes(1 << 20))
    return stream.getvalue(), "a gigabyte of zeros", True


# -- tensors --------------------------------------------------------------------------------------


def tensors_header(random: Random, content: bytes) -> Mutated:
    """One value of a safetensors header changed, lengths kept right."""
    (size,) = struct.unpack("<Q", content[:8])
    header, what = changed_value(random, json.loads(content[8 : 8 + size]))
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :], what, False


def tensors_length(random: Random, content: bytes) -> Mutated:
    length = random.choice((0, 1, 2**40, 2**63, 2**64 - 1, len(content)))
    return struct.pack("<Q", length) + content[8:], f"header of {length} bytes", True


TENSORS: tuple[Mutator, ...] = (
    tensors_header, tensors_header, tensors_length, truncated, head_lost, foreign
)  # fmt: skip


# -- archives -------------------------------------------------------------------------------------

EVIL_NAMES = ("../out.png", "/vesselforge-out.png", "images/../../out.png", "C:/out.png",
              "images\\..\\out.png", "images//a.png", "./a.png", "images/a\nb.png",
              "a/" * 200 + "b", "x" * 300 + ".png")  # fmt: skip


def zip_name(random: Random, content: bytes) -> Mutated:
    name = random.choice(EVIL_NAMES)
    return _zip_with(content, [(zipfile.ZipInfo(name), b"x")]), f"a file {name[:30]!r}", False


def zip_link(random: Random, content: bytes) -> Mutated:
    info = zipfile.ZipInfo("images/link.png")
    info.create_system, info.external_attr = 3, random.choice((0o120777, 0o060644, 0o010644)) << 16
    return _zip_with(content, [(info, b"/etc/passwd")]), "a link or device", True


def zip_twice(random: Random, content: bytes) -> Mutated:
    """The same name again, or in other letters: another file to some systems."""
    first = zipfile.ZipFile(io.BytesIO(content)).namelist()[0]
    name = first.swapcase() if random.random() < 0.5 else first
    return _zip_with(content, [(zipfile.ZipInfo(name), b"x")]), f"{name!r} twice", name == first


def zip_bomb(random: Random, content: bytes) -> Mutated:
    return (
        _zip_with(content, [(zipfile.ZipInfo("images/z.png"), bytes(200_000_000))]),
        "a bomb",
        True,
    )


def zip_locked(random: Random, content: bytes) -> Mutated:
    changed = bytearray(content)
    entry = content.rindex(b"PK\1\2")
    changed[entry + 8] |= 1
    return bytes(changed), "an encrypted file", True


def zip_method(random: Random, content: bytes) -> Mutated:
    changed = bytearray(content)
    entry = content.rindex(b"PK\1\2")
    changed[entry + 10] = random.choice((1, 9, 12, 14, 97))
    return bytes(changed), f"packing method {changed[entry + 10]}", True


def _zip_with(content: bytes, more: list[tuple[zipfile.ZipInfo, bytes]]) -> bytes:
    stream = io.BytesIO(content)
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of names that occur twice
        for info, data in more:
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return stream.getvalue()


ZIP: tuple[Mutator, ...] = (zip_name, zip_name, zip_link, zip_twice, zip_bomb, zip_locked,
                            zip_method, truncated, head_lost, foreign, overwritten)  # fmt: skip
