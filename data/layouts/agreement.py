"""Whether the files of an image lie on each other, and those of a set mean the same by white."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import Picture

T = TypeVar("T", bound=np.generic)
DARK = 1 << 14
"""White of 16 bits is 65535; a set whose brightest value is below this is dark to the networks."""
SHOWN = 3
"""Identifiers that a sentence names."""


def fitted(
    found: NDArray[T], shape: tuple[int, ...], turns: tuple[int, int] = (1, 1)
) -> NDArray[T]:
    """What was drawn on an image of this shape (height, width), if it can lie on it.

    turns: the EXIF orientations by which the image and `found` were turned. Raises DataError for
    another size, and for different turns where the sizes do not tell that both are upright.
    """
    image, own = turns
    said = (
        f"the image {_turned(image)}, this file {_turned(own)}: save both without this tag, the "
        "image as it lay when this file was drawn on it (`vesselforge data import SRC DEST "
        "--masks-drawn-on stored`, or `upright`, does it)"
    )
    if found.shape != shape:
        sizes = [f"{height}×{width}" for height, width in (found.shape, shape)]
        fault = f"found {sizes[0]} pixels (height×width), expected {sizes[1]} as its image has: "
        raise DataError(fault + (said if image != own else "replace one of the two"))
    if image != own and _stored(found.shape, own) == _stored(shape, image):
        raise DataError(f"it cannot be told whether it lies on its image as it should: {said}")
    return found


def _turned(orientation: int) -> str:
    if orientation == 1:
        return "is not"
    return f"is turned by its EXIF orientation {orientation}"


def _stored(shape: tuple[int, ...], orientation: int) -> tuple[int, ...]:
    """The shape before it was turned."""
    return shape[::-1] if orientation >= 5 else shape


@dataclass(frozen=True)
class Depth:
    """Of a file of 16 bits: the bits that its values fill, whether nothing but its values says so,
    and the greatest of them."""

    bits: int
    guessed: bool
    greatest: int

    @classmethod
    def of(cls, picture: Picture) -> Depth:
        return cls(picture.depth, picture.guessed, int(picture.pixels.max(initial=0)))


def depth_warnings(deep: Mapping[str, Depth]) -> list[str]:
    """What is odd about the files of 16 bits in a set. deep: by identifier."""
    said = []
    if any(depth.guessed for depth in deep.values()):
        each = {}
        for bits in sorted({depth.bits for depth in deep.values()}):
            ids = sorted(id_ for id_, depth in deep.items() if depth.bits == bits)
            more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
            each[bits] = f"as {bits} bits {', '.join(ids[:SHOWN])}{more}"
        said.append(
            "files of 16 bits do not say how many of them are used; by their greatest value, up to "
            f"255, 4095 or 65535, were read {'; '.join(each.values())}: if that is wrong, or "
            "differs within one camera, scale them to 65535 when they are converted"
        )
    whole = [depth.greatest for depth in deep.values() if depth.bits == 16]
    if whole and max(whole) < DARK:
        said.append(
            f"the brightest of all 16-bit values is {max(whole)}, expected up to 65535: the images "
            "are dark to the networks; scale them when they are converted"
        )
    return said
