"""Centre lines, slack of a pixel, calibre, components and loops of vessel masks."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from vesselforge.data.structure import betti_numbers
from vesselforge.segmenter.metrics.confusion import Mask, harmonic, ratio

BANDS = {"1px": (0.0, 1.0), "2_3px": (1.0, 3.0), "4px": (3.0, np.inf)}
"""Local diameters above the first and up to the second number, in pixels. 2·EDT − 1 takes the
values 1, 1.83, 3, 3.47, 4.66, 5 …: a straight vessel up to four pixels across has 3, so what is
above 3 is the band of 4 px and more, and every vessel pixel lies in one band."""
THIN = ("1px", "2_3px")


class Shape:
    """A vessel mask [H, W] and what is derived from it, each computed when first asked for and
    never again: a reference serves every model and observer that is scored against it."""

    def __init__(self, mask: Mask) -> None:
        self.mask = mask

    @cached_property
    def skeleton(self) -> Mask:
        """The centre lines, thinned by Zhang and Suen (1984)."""
        return np.asarray(skeletonize(self.mask))

    @cached_property
    def nearby(self) -> Mask:
        """Pixels at most one row and one column away from the mask."""
        return widened(self.mask)

    @cached_property
    def diameters(self) -> NDArray[np.float64]:
        """Local vessel diameter of every mask pixel, see `local_diameters`."""
        return local_diameters(self.mask, self.skeleton)

    @cached_property
    def betti(self) -> tuple[int, int]:
        """(components, loops), see `betti_numbers`."""
        return betti_numbers(self.mask)


def widened(mask: Mask) -> Mask:
    """The mask dilated by a 3×3 square."""
    return np.asarray(ndimage.maximum_filter(mask, 3, mode="constant"))


def topology_counts(predicted: Shape, reference: Shape) -> dict[str, float]:
    """What clDice and F1 with 1 px of slack are made of, to be added up over images."""
    p, r = predicted, reference
    return {
        "line_p": _count(p.skeleton),
        "line_p_hit": _count(p.skeleton & r.mask),
        "line_r": _count(r.skeleton),
        "line_r_hit": _count(r.skeleton & p.mask),
        "near_p": _count(p.mask & r.nearby),
        "near_r": _count(r.mask & p.nearby),
    }


def betti_errors(predicted: Shape, reference: Shape) -> dict[str, float]:
    """|difference| of components (Betti-0) and of loops (Betti-1), and the counts themselves."""
    (components, loops), (true_components, true_loops) = predicted.betti, reference.betti
    return {
        "betti0_error": float(abs(components - true_components)),
        "betti1_error": float(abs(loops - true_loops)),
        "components": float(components),
        "loops": float(loops),
        "components_reference": float(true_components),
        "loops_reference": float(true_loops),
    }


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


def slack_f1(predicted: Mask, reference: Mask) -> float:
    """F1 with 1 px of slack, `f1_1px` of a score: the harmonic mean of how much of each mask lies
    within one row and column of the other. 0 when one mask is empty, NaN when both are."""
    precision = ratio(_count(predicted & widened(reference)), _count(predicted))
    sensitivity = ratio(_count(reference & widened(predicted)), _count(reference))
    return float(harmonic(precision, sensitivity))


def _count(mask: Mask) -> float:
    return float(np.count_nonzero(mask))
