"""Bootstrap over images: the images are the sample, their pixels are not independent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def mean_interval(values: Sequence[float], bootstrap: int, seed: int) -> list[float | None]:
    """[mean, low, high]: the percentile bootstrap's 95 % interval of the mean over images.

    NaN is left out; [None, None, None] when nothing else is there. With 20 images it covers a
    little less than 95 %.
    """
    finite = np.array([v for v in values if math.isfinite(v)])
    if finite.size == 0:
        return [None, None, None]
    draw = np.random.default_rng(seed)
    means = finite[draw.integers(finite.size, size=(bootstrap, finite.size))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return [rounded(float(finite.mean())), rounded(float(low)), rounded(float(high))]


def rounded(value: float) -> float | None:
    """Six digits, as files hold them; None for what is undefined."""
    return round(float(value), 6) if math.isfinite(value) else None
