"""The one reader of image files, gzipped too: any file becomes a `Picture`, grey or RGB.

Pillow opens every file, and only in the formats that it decodes by itself, whatever a file's name
says (for EPS, say, it would start another program); the size in the header is looked at before
anything is decoded. Pillow cuts 16-bit colour down to 8 bits, so the pixels of such files come
from imagecodecs (PNG) and tifffile (TIFF).
"""

from __future__ import annotations

import gzip
import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vesselforge.configs.errors import DataError

Pixels = NDArray[Any]
"""[H, W] or [H, W, C], uint8 or uint16."""
SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".gif", ".bmp", ".ppm", ".pgm", ".pbm", ".webp"}
)
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of what SUFFIXES stand for."""
GREY, COLOUR = ("1", "L", "LA"), ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr")
"""Pillow's modes of 8 bits."""
LUMA = np.array([19595, 38470, 7471], dtype=np.uint32)
"""Rec. 601 weights × 65536, as Pillow's mode L has them."""
ORIENTATION, BITS, PHOTOMETRIC, EXTRA = 0x0112, 258, 262, 338
"""EXIF and TIFF tags: how the camera was held; bits of each sample; its meaning; of further ones
(2: alpha; 1: alpha that colour is multiplied with already)."""
MOST_PIXELS = 100_000_000
"""Height × width that an image may have, twenty times a fundus camera's: a file of a few bytes can
claim any size, and would be given the memory for it."""
MOST_BYTES = 8 * MOST_PIXELS
"""That a gzip file may unpack to: four channels of 16 bits."""


@dataclass(frozen=True)
class Picture:
    """The pixels of an image file: `[H, W, 1]` grey or `[H, W, 3]` RGB, uint8 or uint16."""

    pixels: Pixels

    @property
    def bits(self) -> Literal[8, 16]:
        """Of each channel."""
        return 16 if self.pixels.dtype == np.uint16 else 8

    @property
    def mode(self) -> str:
        """Colour and depth in words: `RGB 8-bit`."""
        return f"{'grey' if self.pixels.shape[2] == 1 else 'RGB'} {self.bits}-bit"

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

    def _eight_bit(self) -> NDArray[np.uint8]:
        """65535 becomes 255; but a file of 16 bits may hold values of 8: a mask of 0 and 255."""
        deep = self.bits == 16 and self.pixels.max(initial=0) > 255
        return (self.pixels // 257 if deep else self.pixels).astype(np.uint8)


def is_image_name(path: Path) -> bool:
    """True when the name says image (a `.gz` may follow); hidden and `._` files are not meant."""
    name = path.name.lower().removesuffix(".gz")
    return not name.startswith(".") and Path(name).suffix in SUFFIXES


def stem_of(path: Path) -> str:
    """The file name without `.gz` and without the image suffix; other dots stay."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem if Path(name).suffix.lower() in SUFFIXES else name


def binarise(grey: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """A mask of two values (0 and 1, 0 and 255, two colours of a palette) is taken as it is, the
    brighter one as True; anything greyer is cut at > 127, the middle."""
    if is_binary(grey):
        return np.asarray((grey > grey.min(initial=255)) if np.ptp(grey) else grey > 0)
    return grey > 127


def is_binary(grey: NDArray[np.uint8]) -> bool:
    """True when there are at most two values."""
    return bool(((grey == grey.min(initial=255)) | (grey == grey.max(initial=0))).all())


def read_picture(path: Path, upright: bool = False) -> Picture:
    """Read a file at its own depth.

    Transparent colours are laid on black; a palette, CMYK and YCbCr become RGB, single bits grey;
    colour profiles are ignored. upright: turn the image as its EXIF tag says, as viewers do (TIFF
    always, as Pillow does); else it fits its mask. Raises DataError for missing and damaged files,
    for floating-point, signed and 32-bit pixels, further channels, several pages and animations.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected an image, copy the dataset again")
    try:
        with warnings.catch_warnings(), open_file(path) as stream:
            warnings.simplefilter("ignore")  # what a decoder warns of, the error below says
            return Picture(_decoded(stream, upright))
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


def orientation_of(path: Path) -> int:
    """The EXIF orientation of an image, 1 (upright, or no tag) to 8. Raises DataError as above."""
    read_picture(path)  # whatever is wrong with it is said there
    with open_file(path) as stream:
        turn = open_picture(stream).getexif().get(ORIENTATION, 1)
    return turn if turn in range(1, 9) else 1


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


def _decoded(stream: IO[bytes], upright: bool) -> Pixels:
    picture = open_picture(stream)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # a photo with a second view beside the main one
        raise DataError(f"found {frames} frames or pages, expected one image: split the file")
    tags: Any = picture.tag_v2 if picture.format == "TIFF" else {}  # type: ignore[attr-defined]
    deep = picture.mode.startswith(("RGB", "LA")) and _deep(picture, tags)
    turn = picture.getexif().get(ORIENTATION, 1) if upright or tags else 1
    if not (deep and tags):
        picture.load()  # which turns TIFF by itself, and checks every sum of a PNG
    pixels = _deep_colour(stream, tags) if deep else _of_pillow(picture)
    if pixels.shape[2] in (2, 4):  # on black: colour multiplied by alpha, with rounding
        top, wide = int(np.iinfo(pixels.dtype).max), pixels.astype(np.uint32)
        pixels = ((wide[..., :-1] * wide[..., -1:] + top // 2) // top).astype(pixels.dtype)
    if tags.get(PHOTOMETRIC) == 0 and pixels.dtype == np.uint16:
        pixels = 65535 - pixels  # white is 0
    return pixels if tags and not deep else turned(pixels, turn)


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


def _deep_colour(stream: IO[bytes], tags: Any) -> Pixels:
    """16 bits of a PNG or TIFF; alpha, the last channel, if it is to be multiplied with."""
    stream.seek(0)
    if not tags:
        import imagecodecs

        return np.asarray(imagecodecs.png_decode(stream.read()))
    import tifffile

    with tifffile.TiffFile(stream) as file:
        page: Any = file.pages[0]
        pixels = page.asarray()
        pixels = np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels
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


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the EXIF orientation 2 … 8; anything else means none."""
    if orientation in (5, 6, 7, 8):  # held sideways
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
