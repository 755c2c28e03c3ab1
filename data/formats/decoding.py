"""From an opened image file to its pixels, whatever its colours, bits, pages and orientation.

Pillow cuts 16-bit colour down to 8 bits, so the pixels of such files come from imagecodecs (PNG)
and tifffile (TIFF).
"""

from __future__ import annotations

from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vesselforge.configs.errors import DataError

Pixels = NDArray[Any]
"""[H, W] or [H, W, C], uint8 or uint16."""
GREY, COLOUR = ("1", "L", "LA"), ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr")
"""Pillow's modes of 8 bits."""
ORIENTATION = 0x0112
"""EXIF: how the camera was held."""
PAGE_KIND, BITS, PHOTOMETRIC, BRIGHTEST, EXTRA = 254, 258, 262, 281, 338
"""TIFF tags: odd for a smaller copy of another page; bits of each sample; its meaning; the greatest
value; further samples (2: alpha; 1: alpha that colour is multiplied with already)."""


def decoded(picture: Image.Image, stream: IO[bytes]) -> tuple[Pixels, int | None, int]:
    """(pixels [H, W, 1] or [H, W, 3], upright; bits that their values fill, None: the file does not
    say; the EXIF orientation, 1 to 8, that they were turned by).

    picture: of `stream`, not decoded yet. Raises DataError for floating-point, signed and 32-bit
    pixels, colours of other kinds, several pages, animations, and what is transparent everywhere.
    """
    page = _only_page(picture)
    tags: Any = picture.tag_v2 if picture.format == "TIFF" else {}  # type: ignore[attr-defined]
    deep = picture.mode.startswith(("RGB", "LA")) and _deep(picture, tags)
    turn = picture.getexif().get(ORIENTATION, 1) if tags else 1
    if not (deep and tags):
        picture.load()  # which turns TIFF by itself, and checks every sum of a PNG
    if not tags:  # a PNG may tell it behind the pixels
        turn = picture.getexif().get(ORIENTATION, 1)
    pixels = _deep_colour(stream, tags, page) if deep else _of_pillow(picture)
    if pixels.shape[2] in (2, 4):
        pixels = _on_black(pixels)
    said = _said(picture, tags, pixels)
    if tags.get(PHOTOMETRIC) == 0 and pixels.dtype == np.uint16:  # white is 0
        said = said or depth_of(pixels)
        pixels = np.uint16((1 << said) - 1) - pixels
    turn = turn if turn in range(1, 9) else 1
    return pixels if tags and not deep else turned(pixels, turn), said, turn


def depth_of(pixels: Pixels) -> int:
    """The bits that values fill, by the greatest: up to 255 they are of 8, up to 4095 of 12 bits,
    else of 16."""
    greatest = int(pixels.max(initial=0))
    return next(bits for bits in (8, 12, 16) if greatest < 1 << bits)


def _said(picture: Image.Image, tags: Any, pixels: Pixels) -> int | None:
    """What a file of 16 bits says of its depth; a PNG says nothing, a PGM is read in full range."""
    if pixels.dtype == np.uint8 or picture.format == "PPM":
        return 8 if pixels.dtype == np.uint8 else 16
    bits = max(tags.get(BITS, (16,)))
    if bits == 16:
        brightest = int(np.max(tags.get(BRIGHTEST, 0)))
        if brightest not in [(1 << n) - 1 for n in range(8, 17)]:  # others were measured
            return None
        bits = brightest.bit_length()
    return bits if int(pixels.max(initial=0)) < 1 << bits else None


def _only_page(picture: Image.Image) -> int:
    """Go to the one image in a file; smaller copies of it are not counted."""
    frames = getattr(picture, "n_frames", 1)
    if frames == 1 or picture.format == "MPO":  # a photo with a second view beside the main one
        return 0
    pages = list(range(frames))
    if picture.format == "TIFF":
        pages = []
        for number in range(frames):
            picture.seek(number)
            if not picture.tag_v2.get(PAGE_KIND, 0) & 1:  # type: ignore[attr-defined]
                pages.append(number)
    if len(pages) != 1:
        raise DataError(
            f"found {len(pages) or frames} frames or pages, expected one image: split the file"
        )
    picture.seek(pages[0])
    return pages[0]


def _deep(picture: Image.Image, tags: Any) -> bool:
    """Whether the file has more bits than Pillow gives."""
    if tags:
        return max(tags.get(BITS, (1,))) > 8
    if picture.format not in ("PNG", "PPM"):
        return False
    arguments = picture.tile[0].args  # type: ignore[attr-defined]
    if picture.format == "PPM" and isinstance(arguments, tuple) and int(arguments[-1]) > 255:
        raise DataError("found a PPM of more than 8 bits, expected PNG or TIFF: convert it")
    return ";16" in str(arguments)


def _deep_colour(stream: IO[bytes], tags: Any, page: int) -> Pixels:
    """16 bits of a PNG or TIFF; alpha, the last channel, if it is to be multiplied with."""
    stream.seek(0)
    if not tags:
        import imagecodecs

        return np.asarray(imagecodecs.png_decode(stream.read()))
    import tifffile

    with tifffile.TiffFile(stream) as file:
        found: Any = file.pages[page]
        pixels = found.asarray()
        pixels = np.moveaxis(pixels, 0, -1) if found.axes == "SYX" else pixels
    extra = tags.get(EXTRA, ())[-1:]
    return pixels if extra == (2,) else pixels[..., : pixels.shape[2] - len(extra)]


def _of_pillow(picture: Image.Image) -> Pixels:
    mode = picture.mode
    if mode == "I" or mode.startswith("I;16"):
        values = np.asarray(picture)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise DataError("found 32-bit or signed integers, expected 8 or 16 bits: convert it")
        return values.astype(np.uint16)[..., None]
    if mode == "F":
        raise DataError("found floating-point pixels, expected 8 or 16 bits: convert it")
    if mode not in GREY + COLOUR:
        raise DataError(f"found colours of the kind {mode}, expected grey or RGB: convert it")
    wanted = ("L" if mode in GREY else "RGB") + ("A" if picture.has_transparency_data else "")
    values = np.asarray(picture if mode == wanted else picture.convert(wanted))
    return values[..., None] if values.ndim == 2 else values


def _on_black(pixels: Pixels) -> Pixels:
    """Colour multiplied by alpha, the last channel, with rounding."""
    colour, alpha = pixels[..., :-1], pixels[..., -1:]
    if not alpha.any() and colour.any():
        raise DataError(
            "every pixel is transparent, so there is nothing to see, but there are colours behind: "
            "save it without alpha channel"
        )
    top = int(np.iinfo(pixels.dtype).max)
    return ((colour.astype(np.uint32) * alpha + top // 2) // top).astype(pixels.dtype)


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the EXIF orientation 2 … 8; 1 means none."""
    if orientation in (5, 6, 7, 8):  # held sideways
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
