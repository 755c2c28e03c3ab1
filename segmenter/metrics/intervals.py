"""Bootstrap over images: the images are the sample, their pixels are not independent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PERCENTILES = (2.5, 97.5)


def resamples(images: int, bootstrap: int, seed: int) -> NDArray[np.int64]:
    """[bootstrap, images]: which images make up every resample."""
    return np.random.default_rng(seed).integers(images, size=(bootstrap, images))


def mean_interval(values: Sequence[float], bootstrap: int, seed: int = 0) -> list[float | None]:
    """[mean, low, high]: the percentile bootstrap's 95 % interval of the mean over images.

    NaN is left out; [None, None, None] when nothing else is there. With 20 images it covers a
    little less than 95 %.
    """
    finite = np.array([v for v in values if math.isfinite(v)])
    if finite.size == 0:
        return [None, None, None]
    means = finite[resamples(finite.size, bootstrap, seed)].mean(1)
    low, high = np.percentile(means, PERCENTILES)
    return [rounded(float(finite.mean())), rounded(float(low)), rounded(float(high))]


def interval_of(draws: NDArray[np.float64]) -> list[float | None]:
    """[low, high] of the values of the resamples; [None, None] when some are undefined."""
    if not np.isfinite(draws).all():
        return [None, None]
    low, high = np.percentile(draws, PERCENTILES)
    return [rounded(float(low)), rounded(float(high))]


def rounded(value: float) -> float | None:
    """Six digits, as files hold them; None for what is undefined."""
    return round(float(value), 6) if math.isfinite(value) else None
