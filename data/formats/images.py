"""Reading image files, gzipped too, with errors to act on and bounds on what a file may unpack to.

Only formats that Pillow decodes by itself are opened, whatever a file's name says (for EPS, say, it
would start another program), and the size in the header is looked at before anything is decoded.
"""

from __future__ import annotations

import gzip
import io
import re
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vesselforge.configs.errors import DataError

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".ppm", ".pgm", ".pbm", ".webp"}
)
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of what SUFFIXES stand for."""
MOST_PIXELS = 100_000_000
"""Height × width that an image may have, twenty times a fundus camera's: a file of a few bytes can
claim any size, and would be given the memory for it."""
MOST_BYTES = 8 * MOST_PIXELS
"""Of an image in memory, and of what a gzip file may unpack to: four channels of 16 bits."""


def is_image_name(path: Path) -> bool:
    """True when the name says image (a `.gz` may follow); hidden and `._` files are not meant."""
    name = path.name.lower().removesuffix(".gz")
    return not name.startswith(".") and Path(name).suffix in SUFFIXES


def stem_of(path: Path) -> str:
    """The file name without `.gz` and without the image suffix; other dots stay."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem if Path(name).suffix.lower() in SUFFIXES else name


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """[H, W, 3] uint8. Raises DataError naming a missing, truncated or foreign file."""
    return _read(path, "RGB")


def read_grey(path: Path) -> NDArray[np.uint8]:
    """[H, W] uint8; a palette or a single bit becomes 0 and 255. Raises DataError."""
    return _read(path, "L")


def read_mask(path: Path) -> NDArray[np.bool_]:
    """[H, W] bool of a mask file, see `binarise`. Raises DataError."""
    return binarise(read_grey(path))


def binarise(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """A mask of two values (0 and 1, 0 and 255, two colours of a palette) is taken as it is, the
    brighter one as True; anything greyer is cut at > 127, the middle."""
    if is_binary(grey):
        return np.asarray((grey > grey.min(initial=255)) if np.ptp(grey) else grey > 0)
    return grey > 127


def is_binary(grey: NDArray[np.uint8]) -> bool:
    """True when there are at most two values."""
    return bool(((grey == grey.min(initial=255)) | (grey == grey.max(initial=0))).all())


def _read(path: Path, mode: str) -> NDArray[np.uint8]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected an image, copy the dataset again")
    try:
        with warnings.catch_warnings(), open_file(path) as stream:
            warnings.simplefilter("ignore")  # what Pillow warns of, the error below says
            picture = open_picture(stream, path)
            picture.load()
            return np.array(_eight_bit(picture, path).convert(mode))
    except DataError:
        raise
    except Exception as error:  # on damaged files Pillow's decoders raise almost any exception
        raise unreadable(path, error) from error


def open_file(path: Path) -> IO[bytes]:
    """A file's bytes, unpacked where its name ends in `.gz`.

    Raises DataError when there are more than MOST_BYTES in it, before any is kept."""
    if path.suffix.lower() != ".gz":
        return path.open("rb")
    size = 0
    with gzip.open(path) as stream:
        while part := stream.read(1 << 20):
            size += len(part)
            if size > MOST_BYTES:
                raise DataError(
                    f"{path}: found more than {MOST_BYTES:,} bytes in this gzip file, expected an "
                    "image; it is none, or cut it into smaller ones"
                )
    return io.BytesIO(gzip.decompress(path.read_bytes()))


def open_picture(source: IO[bytes], path: Path) -> Image.Image:
    """Pillow's picture, not decoded yet; the one place where packages of ours open one.

    path: what to call it. Raises DataError for one of more than MOST_PIXELS, what Pillow raises
    for what it does not know.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the bound below is ours, and an error
            picture = Image.open(source, formats=FORMATS)
    except Image.DecompressionBombError as error:  # its bound is higher, and is looked at first
        claimed = re.search(r"\((\d+) pixels\)", str(error))
        raise too_large(path, int(claimed[1]) if claimed else None) from None
    check_pixels(path, picture.height, picture.width)
    return picture


def check_pixels(
    path: Path, height: int, width: int, channels: int = 1, bytes_each: int = 1
) -> None:
    """Raise DataError for an image of more than MOST_PIXELS, or of more than MOST_BYTES."""
    if height * width > MOST_PIXELS:
        raise too_large(path, height * width, f" ({height}×{width})")
    size = height * width * channels * bytes_each
    if size > MOST_BYTES:
        raise DataError(
            f"{path}: found {size:,} bytes of pixels ({channels} channels), expected at most "
            f"{MOST_BYTES:,}; cut the image into smaller ones"
        )


def too_large(path: Path, pixels: int | None, sides: str = "") -> DataError:
    """The message about an image that claims too many pixels; None: nobody knows how many."""
    found = "more" if pixels is None else f"{pixels:,}"
    return DataError(
        f"{path}: found {found} pixels{sides}, expected at most {MOST_PIXELS:,}; cut the image "
        "into smaller ones, or copy it again if it is none of that size"
    )


def _eight_bit(picture: Image.Image, path: Path) -> Image.Image:
    """16-bit greys scaled to 8 bits: Pillow alone would clip them at 255."""
    if picture.mode == "F":
        raise DataError(f"{path}: found floating-point pixels, expected 8 or 16 bits: convert it")
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.int64)
    if values.max(initial=0) > 255:
        values = values * 255 // 65535
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def unreadable(path: Path, error: Exception) -> DataError:
    """The message about a file that a decoder gave up on."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, UnidentifiedImageError):  # its own text has the stream's address
        text = "no known image format"
    return DataError(
        f"{path}: cannot be read ({text}); found {path.stat().st_size} bytes, expected a whole "
        "image file; it is truncated or not an image: copy or download it again"
    )
