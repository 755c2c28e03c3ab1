"""The real vessel maps that those of samples are compared with: the range of their figures.

Density, calibre and number of components say what cannot be a vessel tree: a map that is too full,
threads without any width, a hundred crumbs. The range is that of equally large pieces of real maps,
since a small window holds fewer components than an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from configs.errors import DataError
from data.imageset import load_fov, load_mask, read_index
from segmenter.labels.geometry import window_sums
from segmenter.metrics.topology import betti_numbers

Mask = NDArray[np.bool_]

WINDOWS = 400
"""Windows behind a range: at a central share of 0.98, four of them lie beyond either end."""
LEAST_FOV = 0.9
"""Least share of a window inside the field of view, as where patches of a generator come from."""
ABOUT = 0.1
"""Images and samples whose sides differ by no more than this share count as equally large."""
SEED = 20_023


@dataclass(frozen=True)
class RealMap:
    """The manual vessel map of a real image, [H, W] bool, and its field of view, [H, W] bool."""

    id: str
    mask: Mask
    fov: Mask


@dataclass(frozen=True)
class TreeFigures:
    """Figures of a vessel map. density: vessel share of all pixels. calibre: mean of 2·EDT − 1 over
    the centre lines, in pixels; 0 without vessels. components: 8-connected pieces."""

    density: float
    calibre: float
    components: float


@dataclass(frozen=True)
class RealRange:
    """For every figure of TreeFigures its lowest and highest allowed value."""

    low: TreeFigures
    high: TreeFigures

    def outside(self, found: TreeFigures) -> str:
        """What is wrong, such as `density 0.31 is above 0.24`; empty when nothing is."""
        for name in FIGURES:
            value, low, high = (getattr(one, name) for one in (found, self.low, self.high))
            if value < low:
                return f"{name} {value:.4g} is below {low:.4g}"
            if value > high:
                return f"{name} {value:.4g} is above {high:.4g}"
        return ""

    def as_json(self) -> dict[str, list[float]]:
        """Name of a figure → [lowest, highest], to six digits."""
        ends = (self.low, self.high)
        return {name: [float(f"{getattr(end, name):.6g}") for end in ends] for name in FIGURES}


FIGURES = tuple(field.name for field in fields(TreeFigures))


def load_real_maps(folder: Path, split: str) -> list[RealMap]:
    """The maps of a prepared set's split; images without a mask are left out."""
    found = []
    for record in read_index(folder, split):
        if record.mask is None:
            continue
        mask, fov = load_mask(folder, record), load_fov(folder, record)
        found.append(RealMap(record.id, mask, np.ones_like(mask) if fov is None else fov))
    return found


def tree_figures(mask: Mask) -> TreeFigures:
    """Figures of a vessel map [H, W]. Beyond the rim lies no background: a vessel that the frame
    cuts lengthwise counts as wide as what is seen of it."""
    components, _ = betti_numbers(mask)
    return TreeFigures(float(mask.mean()), _calibre(mask), float(components))


def _calibre(mask: Mask) -> float:
    if not mask.any():
        return 0.0
    if mask.all():  # no background to measure from
        return float(min(mask.shape))
    return float((2 * ndimage.distance_transform_edt(mask)[skeletonize(mask)] - 1).mean())


def real_range(
    reals: Sequence[RealMap], size: tuple[int, int], share: float, seed: int = SEED
) -> RealRange:
    """The quantiles (1 − share)/2 and (1 + share)/2 of every figure over pieces of the real maps.

    size: (height, width) of the samples in pixels. Where these are whole images there are no more
    pieces than real images, and the range is about that from the least to the greatest of them: of
    16, it would reject one in four real ones that it has not seen. Raises DataError as `pieces`.
    """
    found = [tree_figures(piece) for piece in pieces(reals, size, WINDOWS, seed)]
    table = np.array([[getattr(one, name) for name in FIGURES] for one in found])
    low, high = np.quantile(table, [(1 - share) / 2, (1 + share) / 2], axis=0)
    return RealRange(TreeFigures(*low.tolist()), TreeFigures(*high.tolist()))


def pieces(
    reals: Sequence[RealMap], size: tuple[int, int], count: int, seed: int = SEED
) -> list[Mask]:
    """Pieces [h, w] of real maps to compare samples of this size with.

    Samples as large as the images: every map as a whole. Smaller ones: `count` windows, at least
    LEAST_FOV of each inside the field of view, from all images in turn. Raises DataError for larger
    samples, and when no image has such a window.
    """
    if any(_equally_large(real.mask.shape, size) for real in reals):
        return [real.mask for real in reals if _equally_large(real.mask.shape, size)]
    height, width = size
    places = [_places(real, size) for real in reals]
    fit = [number for number, found in enumerate(places) if found.size]
    if not fit:
        largest = max((real.mask.shape for real in reals), key=lambda s: s[0] * s[1])
        raise DataError(
            f"pseudo_label: found samples of {width}×{height} pixels and no real image with a "
            f"window that large inside its field of view (the largest is {largest[1]}×"
            f"{largest[0]}); real_range and max_overlap need samples at the size of the real "
            "images or of a part of them; leave both off for others"
        )
    rng = np.random.default_rng([seed, height, width])
    found = []
    for turn in range(count):
        number = fit[turn % len(fit)]
        mask = reals[number].mask
        y, x = divmod(int(rng.choice(places[number])), mask.shape[1] - width + 1)
        found.append(mask[y : y + height, x : x + width])
    return found


def _equally_large(shape: tuple[int, ...], size: tuple[int, int]) -> bool:
    return all(abs(have - want) <= ABOUT * have for have, want in zip(shape, size, strict=True))


def _places(real: RealMap, size: tuple[int, int]) -> NDArray[np.int64]:
    """Upper left corners of windows, as y·(W − w + 1) + x."""
    height, width = size
    if real.mask.shape[0] < height or real.mask.shape[1] < width:
        return np.empty(0, np.int64)
    return np.flatnonzero(window_sums(real.fov, size) >= LEAST_FOV * height * width)
