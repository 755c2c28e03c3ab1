"""Images that a dataset holds twice: the same pixels, or the same photograph saved anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from vesselforge.data.layouts.items import Item, Problem
from vesselforge.data.layouts.splits import SPLITS

SIDE, AROUND = 64, 9
"""Pixels of the square that an image is shrunk to, and of what a pixel is held against there."""
FLAT = 2.0
"""Times the usual contrast: what is added to each pixel's own, so that noise is not made large."""
DARK = 0.4
"""Share of the image's median below which a pixel is background."""
ALIKE = 0.8
"""Correlation of two looks from which they are one photograph. On DRIVE, CHASE_DB1 and STARE two
different photographs reach 0.45, the same moved by 1 % and turned by half a degree 0.73; the same
at half its size and JPEG quality 50 stays at 0.90 or above."""
ROWS = 512
"""Images that are held against all others at a time."""

Look = NDArray[np.float32]


def look_of(image: NDArray[np.uint8]) -> Look:
    """What an image [H, W, 3] looks like: [SIDE * SIDE], of length 1, or 0 where nothing is seen.

    Of the green channel, where vessels show best, shrunk: each pixel's difference from what is
    around it, relative to the contrast there. So brightness and the colour of a camera do not
    count, and neither does the border of the field of view, which all images of a camera share.
    """
    green = Image.fromarray(np.ascontiguousarray(image[..., 1]))
    small = np.asarray(green.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    middle = small[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]
    lit = ndimage.binary_fill_holes(small > DARK * np.median(middle))
    inside = ndimage.binary_erosion(lit, iterations=AROUND // 2 + 1, border_value=1)
    detail = small - ndimage.uniform_filter(small, AROUND, mode="nearest")
    contrast = np.sqrt(ndimage.uniform_filter(detail * detail, AROUND, mode="nearest"))
    usual = float(np.median(contrast[inside])) if inside.any() else 0.0
    if usual < 0.01:  # grey values: a blank image looks like no other
        return np.zeros(SIDE * SIDE, np.float32)
    look = (detail / (contrast + FLAT * usual) * inside).ravel()
    return np.asarray(look / max(float(np.linalg.norm(look)), 1e-6), np.float32)


def repeated(
    items: Sequence[Item], hashes: Sequence[str | None], looks: Sequence[Look | None]
) -> Iterator[Problem]:
    """A problem for every image that is there twice: an error where the test, or validation, would
    see what was trained on. It is said of the training image, which can be left out without harm.
    hashes: of each image's pixels; looks: see above; None: not known."""
    known = zip(items, hashes, looks, strict=True)
    ranked = sorted(known, key=lambda each: -SPLITS.index(each[0].split))
    seen: dict[str, Item] = {}
    alike = _alike([each[0] for each in ranked], [each[2] for each in ranked])
    for place, (item, hash_, _) in enumerate(ranked):
        first = item if hash_ is None else seen.setdefault(hash_, item)
        sentence = f"the same pixels as {first.image}"
        if first is item and place in alike:
            first, likeness = alike[place]
            sentence = (
                f"looks the same as {first.image}, only saved, resized or lit anew (correlation of "
                f"details {likeness:.2f})"
            )
        if first is item:
            continue
        if first.split == item.split:
            yield Problem("warning", str(item.image), f"{sentence}: a duplicate", item.id)
        else:
            sentence += f": {item.split} and {first.split} overlap; remove one of them"
            yield Problem("warning" if item.whole else "error", str(item.image), sentence, item.id)


def _alike(items: Sequence[Item], looks: Sequence[Look | None]) -> dict[int, tuple[Item, float]]:
    """Place of an image → the one before it that looks the same, if there is any, and how much it
    does; rather one of another split."""
    known = [place for place, look in enumerate(looks) if look is not None]
    if not known:
        return {}
    matrix = np.stack([look for look in looks if look is not None])
    found: dict[int, tuple[Item, float]] = {}
    for start in range(0, len(known), ROWS):
        likeness = matrix[start : start + ROWS] @ matrix.T
        for row, column in np.argwhere(likeness > ALIKE):
            place, other = known[start + row], items[known[column]]
            if known[column] >= place:
                continue
            value = float(likeness[row, column])
            kept = found.get(place)
            apart = other.split != items[place].split
            if kept is None or (apart, value) > (kept[0].split != items[place].split, kept[1]):
                found[place] = other, value
    return found
