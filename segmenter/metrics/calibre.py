"""Sensitivity by vessel calibre."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesselforge.segmenter.metrics.confusion import Mask

BANDS = {"1px": (0.0, 1.0), "2_3px": (1.0, 3.0), "4px": (3.0, np.inf)}
"""Local diameters above the first and up to the second number, in pixels. 2·EDT − 1 takes the
values 1, 1.83, 3, 3.47, 4.66, 5 …: a straight vessel up to four pixels across has 3, so what is
above 3 is the band of 4 px and more, and every vessel pixel lies in one band."""
THIN = ("1px", "2_3px")


def local_diameters(mask: Mask, skeleton: Mask) -> NDArray[np.float64]:
    """[mask pixels] in pixels, in row order: 2·EDT − 1 at the nearest skeleton pixel, EDT being the
    distance of a vessel pixel to the nearest background pixel. Infinite where all is vessel."""
    if not skeleton.any() or mask.all():
        return np.full(int(np.count_nonzero(mask)), np.inf)
    diameter = 2 * ndimage.distance_transform_edt(mask) - 1
    rows, columns = ndimage.distance_transform_edt(
        ~skeleton, return_distances=False, return_indices=True
    )
    return np.asarray(diameter[rows[mask], columns[mask]])


def calibre_counts(found: Mask, diameters: NDArray[np.float64]) -> dict[str, float]:
    """Reference pixels of every band, and how many of them were found.

    found: whether each reference pixel was predicted; diameters: of the same pixels."""
    counts = {}
    for band, (above, most) in BANDS.items():
        inside = (diameters > above) & (diameters <= most)
        counts[f"width_{band}"] = float(np.count_nonzero(inside))
        counts[f"width_{band}_hit"] = float(np.count_nonzero(inside & found))
    return counts
