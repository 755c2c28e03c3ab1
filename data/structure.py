"""Figures of vessel maps, and their range over windows of real ones.

Density, calibre and number of components say what cannot be a vessel tree: a map that is too full,
threads without any width, a hundred crumbs. Ends and branchings say whether what is left is a tree:
a generator's vessels come and go where real ones branch. The range is that of equally large windows
of real maps, since a small window holds fewer of everything than an image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.morphology import skeletonize

from vesselforge.configs.errors import DataError
from vesselforge.data.imageset import LoadedImage

Mask = NDArray[np.bool_]
EIGHT = np.ones((3, 3), dtype=bool)
RING = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""The eight neighbours of a pixel (dy, dx), once around it."""

RIM = 2
"""Pixels from a window's rim within which the end of a centre line is where the frame cuts it."""

WINDOWS = 400
"""Windows behind a range: at a central share of 0.98, four of them lie beyond either end."""
LEAST_FOV = 0.9
"""Least share of a window inside the field of view, as where patches of a generator come from."""
ABOUT = 0.1
"""Images and samples whose sides differ by no more than this share count as equally large."""
SEED = 20_023


@dataclass(frozen=True)
class TreeFigures:
    """Figures of a vessel map. density: vessel share of all pixels. calibre: mean of 2·EDT − 1 over
    the centre lines, in pixels; 0 without vessels. components: 8-connected pieces. ends,
    branchings: of the centre lines, see `line_figures`."""

    density: float
    calibre: float
    components: float
    ends: float
    branchings: float

    def as_json(self) -> dict[str, float]:
        """Name of a figure → value, to six digits."""
        return {name: float(f"{getattr(self, name):.6g}") for name in FIGURES}


FIGURES = tuple(field.name for field in fields(TreeFigures))
JUDGED = ("density", "calibre", "components")
"""The figures that decide whether a map is in range; the others are reported beside them."""


@dataclass(frozen=True)
class RealRange:
    """For every figure of TreeFigures the lowest and highest value of real maps."""

    low: TreeFigures
    high: TreeFigures

    @classmethod
    def of(cls, found: Iterable[TreeFigures], share: float) -> RealRange:
        """The quantiles (1 − share)/2 and (1 + share)/2 of every figure."""
        table = [astuple(one) for one in found]
        low, high = np.quantile(table, [(1 - share) / 2, (1 + share) / 2], axis=0)
        return cls(TreeFigures(*low.tolist()), TreeFigures(*high.tolist()))

    def outside(self, found: TreeFigures) -> str:
        """What is wrong, such as `density 0.31 is above 0.24`; empty when no figure of JUDGED is
        out of range."""
        for name in JUDGED:
            value, low, high = (getattr(one, name) for one in (found, self.low, self.high))
            if not low <= value <= high:
                side, bound = ("below", low) if value < low else ("above", high)
                return f"{name} {value:.4g} is {side} {bound:.4g}"
        return ""

    def as_json(self) -> dict[str, list[float]]:
        """Name of a figure → [lowest, highest], to six digits."""
        low, high = self.low.as_json(), self.high.as_json()
        return {name: [low[name], high[name]] for name in FIGURES}


def tree_figures(mask: Mask) -> TreeFigures:
    """Figures of a vessel map [H, W]. Beyond the rim lies no background: a vessel that the frame
    cuts lengthwise counts as wide as what is seen of it."""
    if not mask.any():
        return TreeFigures(0.0, 0.0, 0.0, 0.0, 0.0)
    if mask.all():  # no background to measure from
        return TreeFigures(1.0, float(min(mask.shape)), 1.0, 0.0, 0.0)
    lines = np.asarray(skeletonize(mask))
    radius = depth(mask, lines)
    calibre = float((2 * radius - 1).mean())
    components, _ = betti_numbers(mask)
    ends, branchings = line_figures(lines, radius)
    return TreeFigures(float(mask.mean()), calibre, float(components), ends, branchings)


def widened(mask: Mask) -> Mask:
    """The mask [H, W] dilated by a 3×3 square, ten times as fast as by scipy."""
    upright = mask.copy()
    upright[1:] |= mask[:-1]
    upright[:-1] |= mask[1:]
    wide = upright.copy()
    wide[:, 1:] |= upright[:, :-1]
    wide[:, :-1] |= upright[:, 1:]
    return wide


def depth(mask: Mask, lines: Mask) -> NDArray[np.float64]:
    """[pixels]: how far each pixel of `lines`, which lie in the mask [H, W], is from the nearest
    one that is not of the mask, in row order, in pixels. The mask must leave a pixel out.

    The few pixels of centre lines are looked up five times as fast in a tree of the background's
    border as a transform of a photograph of eight megapixels takes."""
    border = widened(mask) & ~mask  # no pixel beyond it is the nearest
    tree = KDTree(np.argwhere(border), compact_nodes=False, balanced_tree=False)
    return np.asarray(tree.query(np.argwhere(lines))[0])


def line_figures(lines: Mask, radius: NDArray[np.float64]) -> tuple[float, float]:
    """(ends, branchings) of centre lines [H, W], one pixel wide. radius: EDT of the vessel at each
    of their pixels, in row order.

    ends: pixels with exactly one 8-neighbour. Where the frame cuts a vessel none is counted: within
    RIM pixels of it, and within half the vessel's width more, which is how far thinning shortens
    the line there (in windows of 64 pixels of DRIVE's maps 1.92 ends are left, as the whole images
    have in the same places; RIM alone would leave 2.35).
    branchings: pixels with a crossing number of 3 or more, the number of lines that leave a pixel
    (Rutovitz 1966; the minutiae of fingerprints). Those up to 3 pixels apart are counted once, for
    thinning makes two of a crossing of vessels, or of a wide branching, as the map happens to lie.
    """
    height, width = lines.shape
    padded = np.pad(lines, 1)  # nothing lies beyond the rim
    around = np.stack([padded[1 + y :, 1 + x :][:height, :width] for y, x in RING])  # [8, H, W]
    leaving = (np.roll(around, 1, axis=0) < around).sum(0)
    forks = ndimage.binary_dilation(lines & (leaving >= 3), EIGHT)
    _, branchings = ndimage.label(forks, EIGHT)
    y, x = np.nonzero(lines)
    to_rim = np.minimum(np.minimum(y, height - 1 - y), np.minimum(x, width - 1 - x))
    ends = (around.sum(0)[lines] == 1) & (to_rim >= RIM + radius - 1)
    return float(np.count_nonzero(ends)), float(branchings)


def betti_numbers(mask: Mask) -> tuple[int, int]:
    """(components, loops): Betti-0 with 8-connected vessels, Betti-1 as the number of holes, which
    are 4-connected background that the outside of the image does not reach."""
    _, components = ndimage.label(mask, EIGHT)
    _, grounds = ndimage.label(~np.pad(mask, 1))  # the frame makes the outside one piece
    return int(components), int(grounds) - 1


def windows(reals: Sequence[LoadedImage], size: tuple[int, int], count: int) -> list[Mask]:
    """Windows [h, w] of the masks of real images to compare samples of this size with.

    size: (height, width) in pixels. Samples as large as the images: every map as a whole, so that
    a range is about that from the least to the greatest of them: of 16, it would reject one in four
    real ones that it has not seen. Smaller ones: `count` windows, at least LEAST_FOV of each inside
    the field of view, from all images in turn. Raises DataError for larger samples, and when no
    image has such a window.
    """
    if whole := [real.reference for real in reals if equally_large(real.fov.shape, size)]:
        return whole
    height, width = size
    fit = []  # maps, and the upper left corners of their windows as y·(W − w + 1) + x
    for real in reals:
        if real.fov.shape[0] >= height and real.fov.shape[1] >= width:
            inside = window_sums(real.fov, size) >= LEAST_FOV * height * width
            if inside.any():
                fit.append((real.reference, np.flatnonzero(inside)))
    if not fit:
        largest = max((real.fov.shape for real in reals), key=lambda s: s[0] * s[1])
        raise DataError(
            f"pseudo_label: found samples of {width}×{height} pixels and no real image with a "
            f"window that large inside its field of view (the largest is {largest[1]}×"
            f"{largest[0]}); real_range needs samples at the size of the real images or of a "
            "part of them; leave it off for others"
        )
    rng = np.random.default_rng([SEED, height, width])
    found = []
    for turn in range(count):
        mask, corners = fit[turn % len(fit)]
        y, x = divmod(int(rng.choice(corners)), mask.shape[1] - width + 1)
        found.append(mask[y : y + height, x : x + width])
    return found


def equally_large(shape: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Whether no side differs by more than the share ABOUT."""
    return all(abs(have - want) <= ABOUT * have for have, want in zip(shape, size, strict=True))


def window_sums(values: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float64]:
    """Sums of [H, W] over every window [h, w] inside it, by its upper left corner:
    [H − h + 1, W − w + 1]. The window must fit."""
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    table[1:, 1:] = values.cumsum(0, dtype=np.float64).cumsum(1)
    h, w = size
    return np.asarray(table[h:, w:] - table[:-h, w:] - table[h:, :-w] + table[:-h, :-w])
