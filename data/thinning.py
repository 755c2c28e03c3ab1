"""Centre lines of vessel masks, in time that grows with the vessels and not with the image.

scikit-image looks at the whole image again for every pixel of a vessel's half width: four times as
long per pixel in a photograph of eight megapixels as in one of DRIVE. Here only the neighbours of
what was just removed are looked at again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
"""The neighbours (dy, dx) of a pixel; number k is bit k of its neighbourhood."""
DEPARTURES = {
    3: 1, 6: 1, 10: 3, 11: 1, 12: 1, 14: 1, 24: 2, 26: 2, 40: 3, 48: 0, 56: 2, 96: 2, 104: 2,
    108: 2, 129: 0, 130: 3, 131: 1, 134: 1, 160: 3, 161: 1, 176: 2, 192: 2, 194: 1, 198: 1, 224: 2,
}  # fmt: skip
"""Neighbourhoods in which scikit-image's results do not follow the paper, found by trying which
table gives its results; 10, which makes no difference in any that was tried, as its mirror images
40, 130 and 160."""


def removed(around: int) -> int:
    """The halves of a round in which a pixel of this neighbourhood goes: 1 the first, 2 the second,
    3 either, 0 neither (Zhang and Suen 1984, conditions a to d and a to d')."""
    ring = [around >> bit & 1 for bit in range(8)]
    north, east, south, west = ring[1::2]
    starts = sum(ring[k - 1] < ring[k] for k in range(8))  # patterns 01 around the pixel
    if around in DEPARTURES or not 2 <= sum(ring) <= 6 or starts != 1:
        return DEPARTURES.get(around, 0)
    first = not (north and east and south) and not (east and south and west)
    second = not (north and east and west) and not (north and south and west)
    return first + 2 * second


REMOVED = np.array([removed(around) for around in range(256)], np.uint8)


def thinned(mask: Mask) -> Mask:
    """The centre lines of a mask [H, W], as `skimage.morphology.skeletonize` finds them (after
    Zhang and Suen 1984): in turns of two halves, all pixels that may go by their neighbourhood go
    at once, until none may."""
    left = np.pad(mask, 1)
    flat = left.ravel()
    steps = [y * left.shape[1] + x for y, x in RING]
    looked = np.flatnonzero(flat)
    around = np.zeros(flat.size, np.uint8)  # neighbourhoods; 0, which stays, of what is no vessel
    for bit, step in enumerate(steps):
        around[looked] |= flat.take(looked + step).view(np.uint8) << np.uint8(bit)
    half = 1
    while looked.size:
        halves = REMOVED.take(around.take(looked))
        gone = np.sort(looked[(halves & half) > 0])
        gone = gone[np.diff(gone, prepend=-1) > 0]
        flat[gone] = False
        around[gone] = 0
        changed = [gone + step for step in steps]
        for bit, places in enumerate(changed):
            around[places] &= np.uint8(255 - (1 << (bit + 4) % 8))  # it lies opposite to them
        half = 3 - half
        looked = np.concatenate([looked[halves == half], *changed])
    return left[1:-1, 1:-1]
