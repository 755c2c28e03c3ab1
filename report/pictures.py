"""Pictures for the page: PNGs made small, tinted where asked, as data URIs."""

from __future__ import annotations

import base64
import io

from PIL import Image, ImageOps

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import open_picture
from vesselforge.report.page import Figure

_BLUE = (0x56, 0xB4, 0xE9)
"""Label tint (Okabe-Ito sky blue): seen on red-orange tissue by every kind of colour vision."""


def opened(content: bytes | None) -> Image.Image | None:
    """The picture in some bytes, or None when there is none."""
    if content is None:
        return None
    try:
        with open_picture(io.BytesIO(content)) as picture:
            return picture.convert("RGB")
    except (DataError, OSError, ValueError, SyntaxError):  # Pillow's PNG reader raises the last
        return None


def picture(
    image: Image.Image | None, alt: str, caption: str = "", side: int = 480
) -> Figure | None:
    """A JPEG no wider or higher than `side`, see `resized`."""
    if image is None:
        return None
    fitted = resized(image, side)
    encoded = base64.b64encode(as_jpeg(fitted)).decode()
    return Figure(alt, caption, "", f"data:image/jpeg;base64,{encoded}", *fitted.size)


def resized(image: Image.Image, side: int) -> Image.Image:
    """A picture no wider or higher than `side`; very small ones are enlarged by whole factors."""
    longest = max(image.size)
    if longest * 2 <= side and longest < 160:
        factor = min(160 // longest + 1, side // longest)
        image = ImageOps.scale(image, factor, Image.Resampling.NEAREST)
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=None)
    return image


def as_jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=86, subsampling=0, optimize=True)
    return stream.getvalue()


def beside(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures of one size on one grey sheet."""
    gap = max(1, left.width // 60)
    sheet = ImageOps.expand(left, (0, 0, gap + right.width, 0), "grey")
    sheet.paste(right, (left.width + gap, 0))
    return sheet


def labelled_pair(
    image: Image.Image | None, label: Image.Image | None, alt: str, caption: str = ""
) -> Figure | None:
    """See `pair`; the image alone when there is no label."""
    if image is None or label is None:
        return picture(image, alt, caption)
    return picture(pair(image, label), alt, caption, side=640)


def pair(image: Image.Image, label: Image.Image) -> Image.Image:
    """An image, and beside it the same with its label (white = vessel, grey = unsure) laid over it
    in blue."""
    weight = label.convert("L").resize(image.size).point(lambda level: 0.85 * level)
    return beside(image, Image.composite(Image.new("RGB", image.size, _BLUE), image, weight))
