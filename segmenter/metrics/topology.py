"""Centre lines, slack of a pixel, calibre, components and loops of vessel masks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from vesselforge.data.structure import betti_numbers, depth, widened
from vesselforge.segmenter.metrics.confusion import Mask, Values, harmonic, ratio

BANDS = {"1px": (0.0, 1.0), "2_3px": (1.0, 3.0), "4px": (3.0, np.inf)}
"""Local diameters above the first and up to the second number, in pixels. 2·EDT − 1 takes the
values 1, 1.83, 3, 3.47, 4.66, 5 …: a straight vessel up to four pixels across has 3, so what is
above 3 is the band of 4 px and more, and every vessel pixel lies in one band."""
THIN = ("1px", "2_3px")
SHAPES = ("cldice", "f1_1px", "se_thin", *(f"se_{band}" for band in BANDS))
BETTI = (
    "betti0_error",
    "betti1_error",
    "components",
    "loops",
    "components_reference",
    "loops_reference",
)


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


def local_diameters(mask: Mask, skeleton: Mask) -> NDArray[np.float64]:
    """[mask pixels] in pixels, in row order: 2·EDT − 1 at the nearest skeleton pixel, EDT being the
    distance of a vessel pixel to the nearest background pixel. Infinite where all is vessel."""
    if not skeleton.any() or mask.all():
        return np.full(int(np.count_nonzero(mask)), np.inf)
    radius = np.zeros(mask.shape)
    radius[skeleton] = depth(mask, skeleton)
    nearest = ndimage.distance_transform_edt(~skeleton, return_distances=False, return_indices=True)
    return np.asarray(2 * radius[tuple(nearest[:, mask])] - 1)


def shape_counts(predicted: Shape, reference: Shape) -> dict[str, float]:
    """What SHAPES are made of, to be added up over images: centre lines and how much of each lies
    in the other mask, pixels near the other mask, reference pixels of every band and how many of
    them were found."""
    p, r = predicted, reference
    parts = {
        "line_p": p.skeleton,
        "line_p_hit": p.skeleton & r.mask,
        "line_r": r.skeleton,
        "line_r_hit": r.skeleton & p.mask,
        "near_p": p.mask & r.nearby,
        "near_r": r.mask & p.nearby,
    }
    found = p.mask[r.mask]
    for band, (above, most) in BANDS.items():
        inside = (r.diameters > above) & (r.diameters <= most)
        parts |= {f"width_{band}": inside, f"width_{band}_hit": inside & found}
    return {name: float(np.count_nonzero(part)) for name, part in parts.items()}


def shape_rates(c: Mapping[str, Any]) -> dict[str, Values]:
    """SHAPES of `shape_counts` and a confusion matrix. clDice and F1 with 1 px of slack (pixels
    within one row and column of the other mask count as right) are harmonic means of a precision
    and a sensitivity; se_thin is the sensitivity of vessels up to 3 px."""
    lines = harmonic(ratio(c["line_p_hit"], c["line_p"]), ratio(c["line_r_hit"], c["line_r"]))
    slack = harmonic(ratio(c["near_p"], c["tp"] + c["fp"]), ratio(c["near_r"], c["tp"] + c["fn"]))
    hits, thin = (sum(c[f"width_{band}{what}"] for band in THIN) for what in ("_hit", ""))
    bands = {f"se_{band}": ratio(c[f"width_{band}_hit"], c[f"width_{band}"]) for band in BANDS}
    return {"cldice": lines, "f1_1px": slack, "se_thin": ratio(hits, thin)} | bands


def betti_errors(predicted: Shape, reference: Shape) -> dict[str, float]:
    """BETTI: |difference| of components (Betti-0) and of loops (Betti-1), and the counts."""
    ours, theirs = np.array(predicted.betti), np.array(reference.betti)
    values = np.concatenate([abs(ours - theirs), ours, theirs]).astype(float)
    return dict(zip(BETTI, values.tolist(), strict=True))
