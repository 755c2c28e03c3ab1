"""Centre lines, slack of a pixel, components and loops of vessel masks."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from vesselforge.data.structure import betti_numbers
from vesselforge.segmenter.metrics.calibre import local_diameters
from vesselforge.segmenter.metrics.confusion import Mask, harmonic, ratio


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
    found = mask.copy()
    found[1:] |= mask[:-1]
    found[:-1] |= mask[1:]
    rows = found.copy()
    found[:, 1:] |= rows[:, :-1]
    found[:, :-1] |= rows[:, 1:]
    return found


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


def cl_dice(predicted: Mask, reference: Mask) -> float:
    """Centre-line Dice (Shit et al. 2021): the harmonic mean of how much of each skeleton lies in
    the other's mask. 0 when one mask is empty, NaN when both are."""
    counts = topology_counts(Shape(np.asarray(predicted, bool)), Shape(np.asarray(reference, bool)))
    precision = ratio(counts["line_p_hit"], counts["line_p"])
    return float(harmonic(precision, ratio(counts["line_r_hit"], counts["line_r"])))


def slack_f1(predicted: Mask, reference: Mask) -> float:
    """F1 with 1 px of slack, `f1_1px` of a score: the harmonic mean of how much of each mask lies
    within one row and column of the other. 0 when one mask is empty, NaN when both are."""
    precision = ratio(_count(predicted & widened(reference)), _count(predicted))
    sensitivity = ratio(_count(reference & widened(predicted)), _count(reference))
    return float(harmonic(precision, sensitivity))


def _count(mask: Mask) -> float:
    return float(np.count_nonzero(mask))
