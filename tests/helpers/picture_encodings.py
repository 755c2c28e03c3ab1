"""The same small picture in every encoding that a reader may meet."""

from __future__ import annotations

import gzip
import io
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 24, 16
Pixels = NDArray[Any]
RNG = np.random.default_rng(3)
COLOURS = RNG.integers(0, 256, (40, 3), dtype=np.uint8)
COLOURS[:3] = (0, 0, 0), (255, 255, 255), (255, 0, 0)
INDEX = RNG.integers(0, 40, (HEIGHT, WIDTH), dtype=np.uint8)
COLOUR = COLOURS[INDEX]
"""[H, W, 3], of 40 colours, so that a palette holds it."""
GREY = np.where(INDEX < 2, INDEX * 255, INDEX * 6).astype(np.uint8)
TWO = (INDEX > 20).astype(np.uint8) * np.uint8(255)
BACK = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
"""EXIF orientation → the one that undoes it."""


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """As a viewer shows it: Pillow's own rules, by another way than the reader's."""
    ways = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }  # fmt: skip
    if orientation == 1:
        return pixels
    return np.asarray(Image.fromarray(pixels).transpose(ways[orientation]))


def deeper(pixels: Pixels, bits: int) -> Pixels:
    """The values over the range of so many bits, in 16; back, they are what they were."""
    return np.ceil(pixels * ((2**bits - 1) / 255)).astype(np.uint16)


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    return found


def tagged(orientation: int) -> list[tuple[int, str, int, int, bool]]:
    return [(274, "H", 1, orientation, True)]


def gzipped(path: Path, pixels: Pixels, kind: str) -> None:
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, format=kind)
    path.write_bytes(gzip.compress(memory.getvalue()))


def png(path: Path, pixels: Pixels) -> None:
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))


def palette(order: NDArray[np.intp]) -> Image.Image:
    picture = Image.fromarray(np.argsort(order).astype(np.uint8)[INDEX], mode="P")
    picture.putpalette(COLOURS[order].ravel().tolist())
    return picture


def with_alpha(alpha: int) -> Pixels:
    return np.dstack([COLOUR, np.full(INDEX.shape, alpha, np.uint8)])


def behind(pixels: Pixels) -> Pixels:
    """Transparent where the picture is black, with any colours behind."""
    black = ~pixels.any(axis=2)
    alpha = np.where(black, 0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    hidden = np.where(black[..., None], RNG.integers(0, 255, pixels.shape), pixels)
    return np.dstack([hidden.astype(pixels.dtype), alpha])


Writer = Callable[[Path], Any]


def of_colour() -> Iterator[tuple[str, Writer]]:
    """Name and writer of every encoding of COLOUR."""
    for name in (
        "a.png", "a.PNG", "a.tif", "a.TIFF", "a.bmp", "a.ppm", "a.pnm", "a.gif",
        "eye 1 (left).png", "b.c.d.png", "a\u202fPM.png", "a\u00a0b.png", "左眼\u3000一.png",
        "Œil gauche.png", "глаз.png", unicodedata.normalize("NFD", "œil-dété.png"), "👁.png",
    ):  # fmt: skip
        yield name, lambda p: Image.fromarray(COLOUR).save(p)
    for kind in ("PNG", "TIFF", "PPM", "BMP"):
        yield f"a.{kind.lower()}.gz", lambda p, k=kind: gzipped(p, COLOUR, k)
        yield f"b.{kind}.GZ", lambda p, k=kind: gzipped(p, COLOUR, k)
    yield "wrong-suffix.jpg", lambda p: Image.fromarray(COLOUR).save(p, format="PNG")
    yield "lossless.webp", lambda p: Image.fromarray(COLOUR).save(p, lossless=True)
    yield "alpha.webp", lambda p: Image.fromarray(with_alpha(255)).save(p, lossless=True)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield (
            f"{compression}.tif",
            lambda p, c=compression: Image.fromarray(COLOUR).save(p, compression=c),
        )
    for order in ("<", ">"):
        yield (
            f"order{ord(order)}.tif",
            lambda p, o=order: tifffile.imwrite(p, COLOUR, photometric="rgb", byteorder=o),
        )
        yield (
            f"deep{ord(order)}.tif",
            lambda p, o=order: tifffile.imwrite(
                p, deeper(COLOUR, 16), photometric="rgb", byteorder=o
            ),
        )
    planes = np.moveaxis(COLOUR, 2, 0)
    yield (
        "planes.tif",
        lambda p: tifffile.imwrite(p, planes, photometric="rgb", planarconfig="separate"),
    )
    yield "tiles.tif", lambda p: tifffile.imwrite(p, COLOUR, photometric="rgb", tile=(16, 16))
    yield "strips.tif", lambda p: tifffile.imwrite(p, COLOUR, photometric="rgb", rowsperstrip=1)
    yield "big.tif", lambda p: tifffile.imwrite(p, COLOUR, photometric="rgb", bigtiff=True)
    yield (
        "predictor.tif",
        lambda p: tifffile.imwrite(
            p, COLOUR, photometric="rgb", compression="zlib", predictor=True
        ),
    )
    yield "thumbnail.tif", with_thumbnail
    plain = np.arange(len(COLOURS))
    for name, order in {"palette": plain, "reversed": plain[::-1].copy()}.items():
        for suffix in ("png", "gif", "bmp", "tif"):
            yield f"{name}.{suffix}", lambda p, o=order: palette(o).save(p)
    yield "black-is-clear.png", lambda p: palette(plain).save(p, transparency=0)
    yield "cmyk.tif", lambda p: Image.fromarray(COLOUR).convert("CMYK").save(p)
    yield "opaque.png", lambda p: Image.fromarray(with_alpha(255)).save(p)
    yield "opaque.tif", lambda p: Image.fromarray(with_alpha(255)).save(p)
    yield "behind.png", lambda p: Image.fromarray(behind(COLOUR)).save(p)
    yield "behind.tif", lambda p: Image.fromarray(behind(COLOUR)).save(p)
    yield "behind-deep.png", lambda p: png(p, behind(deeper(COLOUR, 16)))
    yield (
        "padding.tif",
        lambda p: tifffile.imwrite(
            p, with_alpha(0), photometric="rgb", extrasamples=["unspecified"]
        ),
    )
    for bits in (8, 12, 16):
        yield f"{bits}-in-16.png", lambda p, b=bits: png(p, deeper(COLOUR, b))
        yield (
            f"{bits}-in-16.tif",
            lambda p, b=bits: tifffile.imwrite(
                p, deeper(COLOUR, b), photometric="rgb", compression="zlib"
            ),
        )
    for bits in (8, 10, 12, 14, 16):
        yield (
            f"says-{bits}.tif",
            lambda p, b=bits: tifffile.imwrite(
                p, deeper(COLOUR, b), photometric="rgb", extratags=[(281, "H", 1, 2**b - 1, True)]
            ),
        )
    for turn in range(1, 9):
        stored = turned(COLOUR, BACK[turn])
        for suffix in ("png", "tif", "webp"):
            yield (
                f"turn{turn}.{suffix}",
                lambda p, s=stored, t=turn: Image.fromarray(s).save(p, exif=exif(t), lossless=True),
            )
        yield (
            f"turn{turn}-deep.tif",
            lambda p, s=stored, t=turn: tifffile.imwrite(
                p, deeper(s, 12), photometric="rgb", extratags=tagged(t)
            ),
        )
    yield "turn9.png", lambda p: Image.fromarray(COLOUR).save(p, exif=exif(9))  # no such turn


def with_thumbnail(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(COLOUR, photometric="rgb")
        writer.write(COLOUR[::4, ::4], photometric="rgb", subfiletype=1)


def of_grey() -> Iterator[tuple[str, Writer]]:
    """Name and writer of every encoding of GREY."""
    for suffix in ("png", "tif", "bmp", "pgm", "gif"):
        yield f"g.{suffix}", lambda p: Image.fromarray(GREY).save(p)
    yield "g-rgb.png", lambda p: Image.fromarray(GREY).convert("RGB").save(p)
    yield "g-alpha.png", lambda p: Image.fromarray(GREY).convert("LA").save(p)
    yield (
        "g-text.pgm",
        lambda p: p.write_text(
            f"P2 # a comment\n{WIDTH} {HEIGHT}\n255\n" + "\n".join(map(str, GREY.ravel()))
        ),
    )
    yield (
        "g-deep.pgm",
        lambda p: p.write_bytes(
            f"P5 {WIDTH} {HEIGHT} 65535\n".encode() + deeper(GREY, 16).astype(">u2").tobytes()
        ),
    )
    yield "g-white-is-0.tif", lambda p: tifffile.imwrite(p, 255 - GREY, photometric="miniswhite")
    for bits in (8, 12, 16):
        yield f"g{bits}.png", lambda p, b=bits: png(p, deeper(GREY, b))
        yield f"g{bits}.tif", lambda p, b=bits: tifffile.imwrite(p, deeper(GREY, b))
        yield f"g{bits}-rgb.png", lambda p, b=bits: png(p, deeper(np.dstack([GREY] * 3), b))
        yield (
            f"g{bits}-white-is-0.tif",
            lambda p, b=bits: tifffile.imwrite(
                p, np.uint16(2**b - 1) - deeper(GREY, b), photometric="miniswhite"
            ),
        )


def of_two() -> Iterator[tuple[str, Writer]]:
    """Name and writer of every encoding of a mask, 0 and 255, with the same two colours."""
    for suffix in ("png", "pbm", "bmp", "tif", "gif"):
        yield f"bit.{suffix}", lambda p: Image.fromarray(TWO > 0).save(p)
    yield "g4.tif", lambda p: Image.fromarray(TWO > 0).save(p, compression="group4")
    yield (
        "text.pbm",
        lambda p: p.write_text(  # 1 is black
            f"P1\n{WIDTH} {HEIGHT}\n" + "\n".join(map(str, 1 - (TWO.ravel() > 0)))
        ),
    )


def colour_jpegs(folder: Path) -> Iterator[tuple[Path, Pixels]]:
    """JPEGs, with what Pillow decodes of the plain one."""
    memory = io.BytesIO()
    Image.fromarray(COLOUR).save(memory, format="JPEG", quality=90)
    seen = np.asarray(Image.open(memory))
    for name in ("a.jpg", "a.JPG", "b.jpeg", "a.jfif", "A.JFIF", "a.jpe", "jpeg.png"):
        (folder / name).write_bytes(memory.getvalue())
        yield folder / name, seen
    (folder / "j.jpg.gz").write_bytes(gzip.compress(memory.getvalue()))
    yield folder / "j.jpg.gz", seen
    for turn in range(2, 9):
        path = folder / f"turn{turn}.jpg"
        Image.fromarray(COLOUR).save(path, quality=90, exif=exif(turn))
        yield path, turned(seen, turn)
    second = Image.fromarray(COLOUR[:8, :8])
    Image.fromarray(COLOUR).save(
        folder / "two.mpo", format="MPO", save_all=True, append_images=[second], quality=90
    )
    yield folder / "two.mpo", seen


def every(folder: Path) -> list[tuple[Path, Pixels]]:
    """All of them as files of `folder`, each with the RGB pixels [H, W, 3] that it stands for."""
    found = []
    for kind, encodings, pixels in (
        ("colour", of_colour(), COLOUR),
        ("grey", of_grey(), np.dstack([GREY] * 3)),
        ("two", of_two(), np.dstack([TWO] * 3)),
    ):
        (folder / kind).mkdir()
        for name, write in encodings:
            write(folder / kind / name)
            found.append((folder / kind / name, pixels))
    (folder / "jpeg").mkdir()
    return found + list(colour_jpegs(folder / "jpeg"))
