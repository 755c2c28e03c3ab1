"""The one reader of image files, gzipped too: any file becomes a `Picture`, grey or RGB, upright,
the same one for whatever it is read.

Pillow opens every file, and only in the formats that it decodes by itself, whatever a file's name
says (for EPS, say, it would start another program); the size in the header is looked at before
anything is decoded.
"""

from __future__ import annotations

import gzip
import io
import re
import unicodedata
import warnings
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import IO, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, UnidentifiedImageError

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.decoding import Pixels, decoded, depth_of

SUFFIXES = frozenset(
    {".png", ".tif", ".tiff", ".gif", ".bmp", ".webp"}  # and, of the same format each:
    | {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"}
    | {".ppm", ".pgm", ".pbm", ".pnm"}
)
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of what SUFFIXES stand for."""
LUMA = np.array([19595, 38470, 7471], dtype=np.uint32)
"""Rec. 601 weights × 65536, as Pillow's mode L has them."""
MOST_PIXELS = 100_000_000
"""Height × width that an image may have, twenty times a fundus camera's: a file of a few bytes can
claim any size, and would be given the memory for it."""
MOST_BYTES = 8 * MOST_PIXELS
"""That a gzip file may unpack to: four channels of 16 bits."""
RUBBISH = re.compile(r"\.(?!\.?$)|(__MACOSX|Thumbs\.db|desktop\.ini)$", re.IGNORECASE)


@dataclass(frozen=True)
class Picture:
    """The pixels of an image file: `[H, W, 1]` grey or `[H, W, 3]` RGB, uint8 or uint16, upright.

    said: the bits that its values fill, where the file says so. turn: the EXIF orientation, 1 to 8,
    by which it was turned.
    """

    pixels: Pixels
    said: int | None = None
    turn: int = 1

    @property
    def bits(self) -> Literal[8, 16]:
        """Of each channel, in the file."""
        return 16 if self.pixels.dtype == np.uint16 else 8

    @property
    def depth(self) -> int:
        """The bits that its values fill, 8 to 16: white is 2 ** depth − 1. Cameras write 12 bits
        into files of 16, which mostly do not say so; then the greatest value decides."""
        return 8 if self.bits == 8 else self.said or depth_of(self.pixels)

    @property
    def guessed(self) -> bool:
        """True when nothing but the values says that a file of 16 bits holds fewer."""
        return self.bits == 16 and self.said is None and self.depth < 16

    @property
    def mode(self) -> str:
        """Colour and depth in words: `RGB 8-bit`."""
        return f"{'grey' if self.pixels.shape[2] == 1 else 'RGB'} {self.depth}-bit"

    def rgb(self) -> NDArray[np.uint8]:
        """[H, W, 3] of 8 bits, grey repeated."""
        pixels = self._eight_bit()
        return pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)

    def grey(self) -> NDArray[np.uint8]:
        """[H, W] of 8 bits, of colours their luma; a single bit becomes 0 and 255."""
        pixels = self._eight_bit()
        if pixels.shape[2] == 1:
            return pixels[..., 0]
        return ((pixels.astype(np.uint32) @ LUMA + 0x8000) >> np.uint32(16)).astype(np.uint8)

    def spread(self) -> Pixels:
        """[H, W, C] over the whole range of their type: uint8 of 8 bits, uint16 of more."""
        if self.depth == 8:
            return self._eight_bit()
        white = np.uint32((1 << self.depth) - 1)
        return (self.pixels.astype(np.uint32) * np.uint32(65535) // white).astype(np.uint16)

    def _eight_bit(self) -> NDArray[np.uint8]:
        """White becomes 255."""
        if self.bits == 8:
            return self.pixels
        white = np.uint32((1 << self.depth) - 1)
        return (self.pixels.astype(np.uint32) * np.uint32(255) // white).astype(np.uint8)


def is_rubbish(name: str) -> bool:
    """True for the names of hidden files and folders, and of what Macs and Windows add. `.` and
    `..` are none: whoever finds them in a path has to know."""
    return RUBBISH.match(name) is not None


def is_image_name(path: Path) -> bool:
    """True when the name says image (a `.gz` may follow), and is no rubbish."""
    name = path.name.lower().removesuffix(".gz")
    return not is_rubbish(name) and Path(name).suffix in SUFFIXES


def stem_of(path: Path) -> str:
    """The file name without `.gz` and without the image suffix; other dots stay. Composed (NFC): a
    Mac writes é as two characters, others as one."""
    name = composed(path.name)
    name = name[:-3] if name.lower().endswith(".gz") else name
    return Path(name).stem if Path(name).suffix.lower() in SUFFIXES else name


def composed(name: str) -> str:
    """The name as it is compared with others."""
    return unicodedata.normalize("NFC", name)


def read_picture(path: Path) -> Picture:
    """Read a file at its own depth, turned upright as its EXIF tag says and viewers do.

    Transparent colours are laid on black; a palette, CMYK and YCbCr become RGB, single bits grey;
    colour profiles are ignored. Raises DataError for missing and damaged files, for floating-point,
    signed and 32-bit pixels, further channels, several pages (smaller copies aside), animations,
    and images that are transparent everywhere.
    """
    if not path.is_file():
        fault = "is a folder" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {fault}; expected an image file")
    try:
        with warnings.catch_warnings(), open_file(path) as stream:
            warnings.simplefilter("ignore")  # what a decoder warns of, the error below says
            return Picture(*decoded(open_picture(stream), stream))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except PermissionError:
        raise DataError(f"{path}: you may not read this file; change its permissions") from None
    except Exception as error:  # on damaged files decoders raise almost any exception
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):  # its own text has the stream's address
            text = "no known image format, or a TIFF of other than 8 or 16 bits, grey or RGB"
        raise DataError(
            f"{path}: cannot be read ({text}); found {path.stat().st_size} bytes, expected a whole "
            "image file; it is truncated or not an image: convert it, copy or download it again"
        ) from error


def picture_of(given: ArrayLike | Image.Image | str | PathLike[str]) -> Picture:
    """The picture in a file, as `read_picture`, or in memory: grey `[H, W]` or `[H, W, 1]`, or RGB
    `[H, W, 3]`, uint8 or uint16; or a picture of Pillow's, grey or RGB. Raises DataError."""
    if isinstance(given, str | PathLike):
        return read_picture(Path(given))
    mode = given.mode if isinstance(given, Image.Image) else None
    try:
        pixels = np.asarray(given)
    except ValueError:  # rows of different lengths
        pixels = np.empty(0, object)
    grey = pixels[..., None] if pixels.ndim == 2 else pixels
    known = grey.dtype in (np.uint8, np.uint16) and grey.ndim == 3 and grey.shape[2] in (1, 3)
    if not known or mode not in (None, "L", "RGB", "I;16") or not grey.size:
        found = f"{pixels.dtype} {list(pixels.shape)}" if mode is None else f"the mode {mode}"
        found = type(given).__name__ if pixels.dtype.kind in "OSU" else found
        raise DataError(
            f"image: found {found}, expected a file, grey [H, W] or RGB [H, W, 3] of uint8 or "
            "uint16; multiply values in [0, 1] by 255, convert a picture to RGB"
        )
    return Picture(grey)


def orientation_of(path: Path) -> int:
    """The EXIF orientation of an image, 1 (upright, or no tag) to 8. Raises DataError as above."""
    return read_picture(path).turn


def encode_png(pixels: Pixels, level: int = 6) -> bytes:
    """PNG of `[H, W]`, `[H, W, 1]` or `[H, W, 3]`, uint8 or uint16; the same bytes each time.
    level: of compression, 1 to 9."""
    plain = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
    if plain.dtype == np.uint16 and plain.ndim == 3:
        import imagecodecs

        return bytes(imagecodecs.png_encode(plain))
    memory = io.BytesIO()
    Image.fromarray(plain).save(memory, format="PNG", compress_level=level)
    return memory.getvalue()


def open_file(path: Path) -> IO[bytes]:
    """A file's bytes, unpacked where its name ends in `.gz`.

    Raises DataError, without the name, when there are more than MOST_BYTES in it, before any is
    kept."""
    if path.suffix.lower() != ".gz":
        return path.open("rb")
    with gzip.open(path) as stream:
        while stream.read(1 << 20):
            if stream.tell() > MOST_BYTES:
                raise DataError(
                    f"found more than {MOST_BYTES:,} bytes in this gzip file, expected an image; "
                    "it is none, or cut it into smaller ones"
                )
        stream.seek(0)
        return io.BytesIO(stream.read())


def open_picture(source: IO[bytes]) -> Image.Image:
    """Pillow's picture, not decoded yet; the one place where packages of ours open one.

    Raises DataError, without a name, for one of more than MOST_PIXELS, what Pillow raises for what
    it does not know.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # ours is an error
            picture = Image.open(source, formats=FORMATS)
        pixels, size = picture.height * picture.width, f" ({picture.height}×{picture.width})"
    except Image.DecompressionBombError as error:  # Pillow's bound is higher, and is met first
        pixels, size = max(map(int, re.findall(r"\d+", str(error)))), ""
    if pixels > MOST_PIXELS:
        raise DataError(
            f"found {pixels:,} pixels{size}, expected at most {MOST_PIXELS:,}; cut the image into "
            "smaller ones, or copy it again if it is none of that size"
        )
    return picture
