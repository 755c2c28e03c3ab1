"""What a drawn picture says of every pixel: vessel, background, or nothing.

Two values are a mask, whichever they are and at any depth; the brighter one is vessel. Soft edges,
as scaling and JPEG leave them, are cut at the middle. Anything else is not guessed: `mask_values`
has to say what its values mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import Picture, read_picture

Mask = NDArray[np.bool_]
"""[H, W]."""
VESSEL, IGNORE = "vessel", "ignore"
DEEP = 1 << 24
"""Added to a grey value, so that it is not taken for a colour."""
GREY_SHARE = 0.2
"""Share of mid-grey pixels from which a mask is rather a photograph or a drawing than a mask."""
STRAY = 0.001
"""Share of pixels of further values that are taken for slips of the pen."""
SOFT = 0.4
"""Least share of the pixels between darkest and brightest that lie between a darker and a brighter
neighbour: of soft edges, 0.6 and more do; of labels, below 0.3."""
FLAT, DARK = 24, 48
"""Difference among a pixel and its neighbours that is no edge, after compression; values up to DARK
are background, and those as near to white vessel. Masks of two values that were scaled or saved as
JPEG of any quality have no such pixel between."""
FEW, SHOWN = 8, 8
"""Values that a map of probabilities has more of; values that a message names."""
NEARLY_GREY, MANY_COLOURS = 16, 64
"""Difference of channels in more colours than anybody draws with: a grey mask after compression."""
FAINT = {255: 5, 65535: 4095}
"""Greatest value of a map, by the range of its type, that is none: labels, or 12 bits in 16."""


@dataclass(frozen=True)
class Drawing:
    """vessel [H, W]; ignored [H, W]: pixels that count neither in training nor in scores, None
    without any. remark: what is odd but was read. turn: see `Picture`."""

    vessel: Mask
    ignored: Mask | None = None
    remark: str = ""
    turn: int = 1


def read_drawing(path: Path, meanings: Mapping[str, str] | None = None) -> Drawing:
    """The mask in a file. meanings: see `DataSettings.mask_values`. Raises DataError, naming the
    file, for what cannot be read, and for values of which nobody says what they mean."""
    picture = read_picture(path)
    try:
        return drawing_of(picture, meanings or {})
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def drawing_of(picture: Picture, meanings: Mapping[str, str]) -> Drawing:
    """The same of a picture; the file is not named."""
    drawn = _Drawn(picture)
    if meanings:
        return _told(drawn, meanings, picture.turn)
    if drawn.two:
        return Drawing(drawn.brighter(), turn=picture.turn)
    if drawn.colour or not (drawn.between <= STRAY or drawn.soft()):
        advice = (
            f"say what each one means with data.mask_values (--mask-values), as in "
            f"{drawn.example()}, or save it with two"
        )
        if len(drawn.values) > MANY_COLOURS:
            advice = "it looks like a photograph, or is compressed: save vessels alone, as PNG"
        raise DataError(
            f"found {drawn.named('mask')}, expected two, background and vessel; {advice}"
        )
    found = f"found {len(drawn.values)} grey values in a mask, expected two"
    grey = picture.grey()
    if float(((grey > 31) & (grey < 224)).mean()) > GREY_SHARE:
        raise DataError(f"{found}; it looks like a photograph: draw vessels white on black")
    if (level := _grey_level(grey)) is not None:
        raise DataError(
            f"{found}; areas of about {level} look like a third value that compression has blurred:"
            " save it with two values, or as PNG and say what each one means with data.mask_values "
            "(--mask-values)"
        )
    if not (grey > 127).any():
        raise DataError(
            f"{found}, of which none is above {grey.max()}: masks are cut at the middle, 127, and "
            "this one would be empty; save it over the whole range, 0 to 255, or say what each one "
            "means with data.mask_values (--mask-values)"
        )
    return Drawing(grey > 127, remark=f"{found}; it is cut at the middle", turn=picture.turn)


def _grey_level(grey: NDArray[np.uint8]) -> int | None:
    """The usual value of areas that are neither dark nor bright and have no slope, which soft edges
    have none of; None where there are hardly any."""
    low, high = ndimage.minimum_filter(grey, 3), ndimage.maximum_filter(grey, 3)
    flat = (low > DARK) & (high < 255 - DARK) & (high - low <= FLAT)
    return int(np.median(grey[flat])) if float(flat.mean()) > STRAY else None


def probability_of(picture: Picture) -> NDArray[np.float32]:
    """[H, W] in [0, 1]: a map of vessel probability, or a mask. Raises DataError for colours, for
    labels, and for values that fill hardly any of their range."""
    drawn = _Drawn(picture)
    if len(drawn.values) == 2:
        return drawn.brighter().astype(np.float32)
    if drawn.colour:
        raise DataError("found a colour image, expected a grey map or a mask")
    whole = int(np.iinfo(picture.pixels.dtype).max)
    greatest = int(drawn.codes.max(initial=0)) % DEEP
    labels = len(drawn.values) <= FEW and not (drawn.between <= STRAY or drawn.soft())
    if labels or 0 < greatest <= FAINT[whole]:
        raise DataError(
            f"found {drawn.named('map')}, expected probabilities, 0 to {whole}, or a mask of "
            "two values: save the map over this range, or the vessels alone"
        )
    return (drawn.codes % DEEP).astype(np.float32) / np.float32(whole)


class _Drawn:
    """A picture as codes [H, W] of its values: grey ones as DEEP + value, colours as 0xrrggbb;
    values, counts: the different codes and how many pixels have each."""

    def __init__(self, picture: Picture) -> None:
        pixels = picture.pixels
        spread = int(np.ptp(pixels, axis=2).max(initial=0))
        self.colour = spread > 0
        if self.colour:
            red, green, blue = np.moveaxis(picture.rgb().astype(np.uint32), 2, 0)
            self.codes = (red << 16) | (green << 8) | blue
            self.values, self.counts = np.unique(self.codes, return_counts=True)
            self.colour = len(self.values) <= MANY_COLOURS or spread > NEARLY_GREY
        if not self.colour:
            grey = picture.grey() if spread else pixels[..., 0]
            self.codes = grey.astype(np.uint32) + np.uint32(DEEP)
            counts = np.bincount(grey.ravel())
            self.values = np.flatnonzero(counts).astype(np.uint32) + np.uint32(DEEP)
            self.counts = counts[counts > 0]

    @property
    def two(self) -> bool:
        """Whether there are at most two values."""
        return len(self.values) <= 2

    @property
    def between(self) -> float:
        """Share of pixels that are neither darkest nor brightest, of grey values."""
        return float(self.counts[1:-1].sum() / max(1, self.counts.sum()))

    def brighter(self) -> Mask:
        """Where the brighter one of two values is; of a single one, everywhere unless it is 0."""
        if len(self.values) < 2:
            return np.full(self.codes.shape, bool(self.values.size and self.values[0] % DEEP))
        return np.asarray(self.codes == max(self.values.tolist(), key=_brightness))

    def soft(self) -> bool:
        """Whether grey pixels are those of soft edges."""
        low, high = (f(self.codes, 3) for f in (ndimage.minimum_filter, ndimage.maximum_filter))
        between = (self.codes > self.values[0]) & (self.codes < self.values[-1])
        edges = between & (low < self.codes) & (self.codes < high)
        return float(edges.sum()) >= SOFT * float(between.sum())

    def key(self, code: int) -> str:
        """A value as it is named in `mask_values`."""
        return str(code - DEEP) if code >= DEEP else f"#{code:06x}"

    def named(self, where: str) -> str:
        """The values in words, the most frequent first. where: what they were found in."""
        order = np.argsort(-self.counts, kind="stable")[:SHOWN]
        shares = self.counts / self.counts.sum()
        shown = ", ".join(f"{self.key(int(self.values[i]))} ({shares[i]:.2%})" for i in order)
        more = len(self.values) - len(order)
        kind = "colours" if self.colour else "grey values"
        rest = f" and {more} more" if more else ""
        return f"{len(self.values)} {kind} in a {where}, {shown}{rest}"

    def example(self) -> str:
        """A setting for these values, to be corrected."""
        first, second, *_ = (int(self.values[i]) for i in np.argsort(-self.counts, kind="stable"))
        return f'{{"{self.key(first)}": background, "{self.key(second)}": vessel, …: ignore}}'


def _told(drawn: _Drawn, meanings: Mapping[str, str], turn: int) -> Drawing:
    """A mask by what its values mean; a grey value v is the colour #vvvvvv, too."""
    known = {code: meaning for key, meaning in meanings.items() for code in _codes(key)}
    if unknown := [drawn.key(int(v)) for v in drawn.values if int(v) not in known]:
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        raise DataError(
            f"found {', '.join(unknown[:SHOWN])}{more} in a mask, of which data.mask_values does "
            f"not say what it means; expected {', '.join(meanings)} alone: add it there, and "
            "save masks without compression that changes values (PNG, not JPEG)"
        )
    vessel, ignored = (
        np.isin(drawn.codes, [code for code, meaning in known.items() if meaning == wanted])
        for wanted in (VESSEL, IGNORE)
    )
    return Drawing(vessel, ignored if ignored.any() else None, turn=turn)


def _codes(key: str) -> list[int]:
    """The codes of a key of `mask_values`."""
    if not key.startswith("#"):
        value = int(key)
        return [DEEP + value] + ([value * 0x010101] if value < 256 else [])
    code = int(key[1:], 16)
    same = len({code >> 16, code >> 8 & 255, code & 255}) == 1
    return [code] + ([DEEP + (code & 255)] if same else [])


def _brightness(code: int) -> tuple[int, int]:
    """For order: the luma of a colour, or the value."""
    if code >= DEEP:
        return code, code
    return 19595 * (code >> 16) + 38470 * (code >> 8 & 255) + 7471 * (code & 255), code
