"""C_T: are samples nearer to the training images than new images are?

Meehan, Chaudhuri and Dasgupta 2020, "A Non-Parametric Test to Detect Data-Copying in Generative
Models": the Mann-Whitney test of two sets of distances to the nearest training view, of m samples
and of n held-out views. Far below 0 the samples are too near (copying); far above 0 they are
farther away than new images (of another distribution). Truncation, or too little variety, also
brings samples nearer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, norm
from sklearn.cluster import KMeans
from torch import Tensor

from vesselforge.generator.metrics.memorisation import Matches

CELLS = 5
"""Parts of the space of features at most."""
FEWEST = 20
"""Samples, and held-out views, in a cell below which it does not count."""

LEARNT = 2048
"""Training views behind the cells at most, evenly chosen: their borders need no more."""

Distances = NDArray[np.float64]


@dataclass(frozen=True)
class Copying:
    """What the test found; None where it cannot be had.

    c_t: z-score over the whole space, negative when samples are nearer than held-out views; p: the
    chance of so small a value if both were of one distribution. Both take the held-out views for
    independent. Crops of one image are not, which makes c_t too large either way and p too small:
    by_image, by_image_p count every held-out image once, and err on the careful side.
    cells: mean z-score within cells of the space, over `cells_counted` of them, weighted by
    their shares of the held-out views: sees copying in one corner that another corner hides. It is
    no standard normal figure, and has no p. relative_distance: median distance of the samples, in
    units of the held-out views' median: 1 as new images, 0 for copies.
    """

    c_t: float
    p: float
    by_image: float
    by_image_p: float
    cells: float | None
    cells_counted: int
    relative_distance: float | None

    def figures(self) -> dict[str, float]:
        """Return it under the names of metrics.json."""
        found = {
            "c_t": self.c_t,
            "c_t_p": self.p,
            "c_t_by_image": self.by_image,
            "c_t_by_image_p": self.by_image_p,
            "c_t_cells": self.cells,
            "c_t_cells_counted": self.cells_counted,
            "relative_distance": self.relative_distance,
        }
        return {name: value for name, value in found.items() if value is not None}


def copying(
    samples: Matches,
    held_out: Matches,
    images: Sequence[int],
    training: Tensor,
    seed: int = 0,
) -> Copying:
    """Test whether the samples are copies.

    images: of which held-out image each held-out view is, `[n]`. training: features of the
    training views `[M, D]`, which are divided into cells. relative_distance is None when half of
    the held-out views are training views themselves.
    """
    mine, theirs = samples.distances, held_out.distances
    by_image = c_t_by_image(mine, theirs, images)
    of_views = cells_of(training, CELLS, seed)
    cells, counted = c_t_of_cells(mine, theirs, of_views[samples.views], of_views[held_out.views])
    median = float(np.median(theirs))
    return Copying(
        c_t=c_t(mine, theirs),
        p=float(mannwhitneyu(mine, theirs, alternative="less").pvalue),
        by_image=by_image,
        by_image_p=float(norm.cdf(by_image)),
        cells=cells,
        cells_counted=counted,
        relative_distance=float(np.median(mine)) / median if median > 0 else None,
    )


def c_t(samples: Distances, held_out: Distances) -> float:
    """Return the z-score of Mann-Whitney's U, the number of pairs in which the sample `[m]` is
    farther than the held-out view `[n]`: (U - mn/2) / √(mn(m + n + 1)/12). Equal distances count
    half. Bounded: complete separation gives √(3mn / (m + n + 1))."""
    m, n = len(samples), len(held_out)
    return _z(float(mannwhitneyu(samples, held_out).statistic) / (m * n), m, n)


def c_t_by_image(samples: Distances, held_out: Distances, images: Sequence[int]) -> float:
    """Return C_T with each of the k held-out images as one observation, whose place among the
    samples is the mean place of its views.

    A mean over views spreads no more than a single view does, however alike they are, so the
    deviation taken here, that of k single views, is an upper bound: |z| is rather too small.
    """
    owners = np.asarray(images)
    places = [
        float(mannwhitneyu(samples, held_out[owners == image]).statistic)
        / (len(samples) * int((owners == image).sum()))
        for image in np.unique(owners)
    ]
    return _z(float(np.mean(places)), len(samples), len(places))


def c_t_of_cells(
    samples: Distances,
    held_out: Distances,
    cells: NDArray[np.integer],
    held_out_cells: NDArray[np.integer],
) -> tuple[float | None, int]:
    """Return the mean of C_T within cells, weighted by their shares of the held-out views (the
    paper's statistic), and how many cells had enough of both kinds to count; None with none.

    cells: of the samples `[m]` and of the held-out views `[n]`.
    """
    scores, shares = [], []
    for cell in np.unique(held_out_cells):
        mine, theirs = samples[cells == cell], held_out[held_out_cells == cell]
        if min(len(mine), len(theirs)) >= FEWEST:
            scores.append(c_t(mine, theirs))
            shares.append(len(theirs))
    return (float(np.average(scores, weights=shares)), len(scores)) if scores else (None, 0)


def cells_of(training: Tensor, count: int, seed: int) -> NDArray[np.integer]:
    """Divide the training views `[M, D]` into `count` cells by k-means: return the cell of each.

    An image is in the cell of the training view nearest to it.
    """
    rows = training.float().numpy()
    some = rows[:: -(-len(rows) // LEARNT)]
    count = min(count, len(np.unique(some, axis=0)))
    means = KMeans(count, n_init=1, max_iter=100, random_state=seed).fit(some)
    found: NDArray[np.integer] = means.predict(rows)
    return found


def _z(place: float, m: int, n: int) -> float:
    """Standardise the share of pairs in which the sample is farther."""
    return (place - 0.5) / ((m + n + 1) / (12 * m * n)) ** 0.5
