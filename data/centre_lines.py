"""Centre lines of vessel masks, in a time that grows with the vessels and not with the image.

The thinning of Zhang and Suen (1984), pixel by pixel that of scikit-image, which looks at every
pixel of the image in every pass: wide vessels in large photographs need many passes, each of which
only takes away a rim. Here a pass looks at pixels again whose neighbours have changed.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""The eight neighbours of a pixel (dy, dx), once around it from the one above."""


def centre_lines(mask: Mask) -> Mask:
    """[H, W] bool, one pixel wide: what is left of a mask when rims have been taken away, in turn
    from below and the right and from above and the left, until none can be."""
    left = np.pad(mask, 1).ravel()
    steps = [dy * (mask.shape[1] + 2) + dx for dy, dx in RING]
    places = np.flatnonzero(left)
    around = np.zeros(left.size, np.uint8)  # bit k: whether neighbour k is vessel
    for bit, step in enumerate(steps):
        around[places] |= left[places + step].astype(np.uint8) << np.uint8(bit)
    rim = places[around[places] != 255]
    first_seen = np.empty(left.size, np.int32)
    waiting = [rim, rim]  # pixels to look at, from either side
    side = 0
    while waiting[0].size or waiting[1].size:
        looked = waiting[side]
        gone = looked[_removable()[side][around[looked]]]
        left[gone] = False
        for bit, step in enumerate(steps):  # the pixel is the opposite neighbour of that one
            around[gone + step] &= ~np.uint8(1 << (bit + 4) % 8)
        changed = np.concatenate([gone + step for step in steps])
        changed = changed[left[changed]]
        first_seen[changed] = np.arange(changed.size)
        changed = changed[first_seen[changed] == np.arange(changed.size)]  # each once
        other = waiting[1 - side]
        waiting[side] = changed
        waiting[1 - side] = np.union1d(other[left[other]], changed)
        side = 1 - side
    return left.reshape(mask.shape[0] + 2, -1)[1:-1, 1:-1]


@cache
def _removable() -> tuple[Mask, Mask]:
    """For either side and each of the 256 neighbourhoods, whether a pixel can go: it has two to six
    neighbours, in one piece around it, and lies on that side."""
    codes = np.arange(256)
    n = (codes[:, None] >> np.arange(8)) & 1  # [256, 8]: above, then clockwise
    count = n.sum(1)
    pieces = ((n == 0) & (np.roll(n, -1, axis=1) == 1)).sum(1)
    common = (count >= 2) & (count <= 6) & (pieces == 1)
    above, right, below, left = (n[:, k] == 1 for k in (0, 2, 4, 6))
    first = ~(above & right & below) & ~(right & below & left)
    second = ~(above & right & left) & ~(above & below & left)
    return common & first, common & second
