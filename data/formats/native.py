"""Reading image files with all their channels and bits, and writing them again.

`data.formats.images` gives the segmenters what they understand, RGB of 8 bits; this is for the
generator. 8-bit files are Pillow's; it cuts 16-bit colour down to 8 bits, so those are read by
imagecodecs (PNG) and tifffile (TIFF).
"""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.channels import Pixels, straight
from vesselforge.data.formats.images import check_pixels, open_file, open_picture, unreadable

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ORIENTATION = 0x0112
"""EXIF and TIFF tag: how the camera was held."""
MODES = {
    "1": "L", "L": "L", "LA": "LA", "La": "LA", "RGB": "RGB", "RGBA": "RGBA", "RGBa": "RGBA",
    "RGBX": "RGB", "P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB",
}  # fmt: skip
"""Pillow's modes of 8 bits, and as which one they are read."""
TRANSPARENT = {"L": "LA", "RGB": "RGBA"}
"""A file may name one colour that is transparent."""


@dataclass(frozen=True)
class Native:
    """pixels: `[H, W, C]` uint8 or uint16. alpha: the last channel is alpha, colour straight."""

    pixels: Pixels
    alpha: bool = False


class _Refused(Exception):
    """A whole file that is not what we can take; the reason names what to do."""


def read_native(path: Path, upright: bool = True) -> Native:
    """Return every channel of a file at its own depth.

    A palette becomes RGB (RGBA when it has a transparent colour), single bits grey, CMYK and YCbCr
    RGB; colour profiles are ignored. upright: turn the image as its EXIF tag says, as viewers do
    (TIFF always, as Pillow does). Raises DataError for missing, damaged, floating-point, 32-bit,
    signed and multi-page or animated files.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected an image, copy the dataset again")
    try:
        with warnings.catch_warnings(), open_file(path) as stream:
            warnings.simplefilter("ignore")  # what a decoder warns of, the error below says
            found = _read(stream, path, upright)
    except DataError:
        raise
    except _Refused as reason:
        raise DataError(f"{path}: {reason}") from None
    except PermissionError:
        raise DataError(f"{path}: you may not read this file; change its permissions") from None
    except Exception as error:  # on damaged files decoders raise almost any exception
        raise unreadable(path, error) from error
    return found


def suffix_for(count: int, alpha: bool) -> str:
    """Return `.png`, which holds grey and colour of 8 and 16 bits, with alpha or without; `.tif`
    for other channels."""
    return ".png" if count - alpha in (1, 3) else ".tif"


def write_native(path: Path, native: Native) -> None:
    """Write PNG or TIFF, whichever `suffix_for` says; the same bytes each time."""
    pixels = np.ascontiguousarray(native.pixels)
    count = pixels.shape[2]
    if suffix_for(count, native.alpha) == ".png":
        path.write_bytes(_png(pixels))
        return
    import tifffile

    extra = [0] * (count - 1)
    if native.alpha:
        extra[-1] = 2  # unassociated alpha: colour is straight
    tifffile.imwrite(
        path, pixels, photometric="minisblack", planarconfig="contig", extrasamples=extra,
        compression="zlib", predictor=True, metadata=None, software=False,
    )  # fmt: skip


def _png(pixels: Pixels) -> bytes:
    plain = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    if pixels.dtype == np.uint16 and plain.ndim == 3:
        import imagecodecs

        return bytes(imagecodecs.png_encode(pixels))
    memory = io.BytesIO()
    Image.fromarray(plain).save(memory, format="PNG")
    return memory.getvalue()


def _read(stream: IO[bytes], path: Path, upright: bool) -> Native:
    start = stream.read(26)
    stream.seek(0)
    if start[:4] in TIFF:
        found = _read_tiff(stream, path)
        if found is not None:
            return found
        stream.seek(0)
    if start[:8] == b"\x89PNG\r\n\x1a\n" and start[24:25] == b"\x10" and start[25:26] != b"\0":
        return _read_deep_png(stream, path, upright)
    return _read_by_pillow(stream, path, upright)


def _read_by_pillow(stream: IO[bytes], path: Path, upright: bool) -> Native:
    picture = open_picture(stream, path)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # a photo with a second view beside the main one
        raise _Refused(f"found {frames} frames or pages, expected one image: split the file")
    if picture.format == "PPM" and picture.mode == "RGB" and _most(picture) > 255:
        raise _Refused("found a PPM of more than 8 bits, expected PNG or TIFF for that: convert it")
    turned = 1
    if upright and picture.format != "TIFF":  # Pillow turns TIFF by itself
        turned = picture.getexif().get(ORIENTATION, 1)
    picture.load()
    pixels, alpha = _pixels(picture)
    return Native(_turned(pixels, turned), alpha)


def _most(picture: Any) -> int:
    """The greatest value that a PPM may hold; Pillow scales more than 255 down."""
    arguments = picture.tile[0].args
    return int(arguments[-1]) if isinstance(arguments, tuple) else 255


def _pixels(picture: Image.Image) -> tuple[Pixels, bool]:
    mode = picture.mode
    if mode == "I" or mode.startswith("I;16"):
        values = np.asarray(picture)
        _check_type(values.dtype if mode != "I" else np.dtype(np.uint16))
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise _Refused("found 32-bit or signed integers, expected 8 or 16 bits: convert it")
        return values.astype(np.uint16)[..., None], False
    if mode == "F":
        _check_type(np.dtype(np.float32))
    if mode not in MODES:
        raise _Refused(f"found colours of the kind {mode}, expected grey or RGB: convert it")
    wanted = MODES[mode]
    if "transparency" in picture.info:
        wanted = TRANSPARENT.get(wanted, wanted)
    values = np.asarray(picture if mode == wanted else picture.convert(wanted))
    return (values[..., None] if values.ndim == 2 else values), wanted.endswith("A")


def _read_deep_png(stream: IO[bytes], path: Path, upright: bool) -> Native:
    import imagecodecs

    picture = open_picture(stream, path)
    turned = picture.getexif().get(ORIENTATION, 1) if upright else 1
    picture.load()  # checks every chunk's sum, which the other reader does not insist on
    stream.seek(0)
    pixels = imagecodecs.png_decode(stream.read())
    _check_type(pixels.dtype)
    return Native(_turned(pixels, turned), pixels.shape[2] in (2, 4))


def _read_tiff(stream: IO[bytes], path: Path) -> Native | None:
    """None for palettes, single bits and colour other than RGB: those Pillow reads."""
    import tifffile

    with tifffile.TiffFile(stream) as file:
        page: Any = file.pages[0]
        kind = page.photometric.name if hasattr(page.photometric, "name") else ""
        if kind not in ("MINISBLACK", "MINISWHITE", "RGB") or page.bitspersample in (1, 2, 4):
            return None
        _check_type(page.dtype, page.bitspersample)
        series = file.series[0]
        if series.axes not in ("YX", "YXS", "SYX", "CYX"):
            raise _Refused(
                f"found a stack of {len(file.pages)} pages (axes {series.axes}), expected one "
                "image whose channels lie in its samples: split or convert the file"
            )
        height, width = (series.shape[series.axes.index(axis)] for axis in "YX")
        channels = math.prod(series.shape) // max(1, height * width)
        check_pixels(path, height, width, channels, series.dtype.itemsize)
        pixels = series.asarray()
        if series.axes in ("SYX", "CYX"):
            pixels = np.moveaxis(pixels, 0, -1)
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        if kind == "MINISWHITE":
            pixels = np.iinfo(pixels.dtype).max - pixels
        orientation = page.tags.get(ORIENTATION)
        pixels = _turned(pixels, 1 if orientation is None else int(orientation.value))
        extra = [int(sample) for sample in page.extrasamples]
        if extra[-1:] == [1]:  # associated: colour is premultiplied
            return Native(straight(pixels), True)
        return Native(pixels, extra[-1:] == [2])


def _check_type(dtype: np.dtype[Any] | None, bits: int | None = None) -> None:
    if dtype is not None and dtype.kind == "f":
        raise _Refused("found floating-point pixels, expected 8 or 16 bits: convert it")
    if dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)) or bits not in (None, 8, 16):
        found = f"{bits} bits" if bits not in (None, 8, 16) else str(dtype)
        raise _Refused(f"found pixels of {found}, expected unsigned 8 or 16 bits: convert it")


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the EXIF orientation 2 … 8; anything else means none."""
    if orientation in (5, 6, 7, 8):  # held sideways
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
