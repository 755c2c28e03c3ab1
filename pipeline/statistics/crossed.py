"""Means of a table of seeds by images when both are samples: variance, interval, power.

Every training run shifts all images together, so more images do not make up for few seeds: a test
over images alone calls two equal arms different in most studies once that shift is as large as
the noise of one image. Here seeds and images are crossed random effects. Arrays may have leading
axes, which are separate tables; arms of a family that share the seeds may thus be done at once.

Mean squares: MS_seed = I·Var(seed means), MS_image = S·Var(image means), MS_rest of what is left.
A mean over S seeds and I images then has the variance (MS_seed + MS_image − MS_rest)/(S·I), since
the first two both hold what MS_rest estimates (Searle, Casella and McCulloch 1992, chapter 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RunNoise:
    """What a training run adds to its mean over images.

    deviations: [n] of single runs from what their arm and seed explain, with mean 0 and mean
    square `variance`. variance: of one run. df: degrees of freedom of that estimate, at least 1.
    """

    deviations: Floats
    variance: float
    df: int


@dataclass(frozen=True)
class CrossedMean:
    """Variance of a mean over seeds and images, and its parts. df: Satterthwaite's, of `variance`.

    images: [I] deviations of the images, scaled so that their mean square, over I, is `by_image`.
    """

    mean: float
    variance: float
    df: float
    by_seed: float
    by_image: float
    images: Floats


def run_noise(runs: Floats) -> RunNoise | None:
    """Noise of a training run, pooled over the arms of a family, the shared real-only arm included.

    runs: [arms, seeds] mean of each run over images, NaN where a run is missing. The deviations
    are what a two-way layout (arm + seed, least squares) leaves. With all runs there it has
    (A − 1)·(S − 1) degrees of freedom: 12 for 3 seeds of 6 arms and their baseline, instead of 2.
    An arm's difference to the baseline has the noise of two runs. That all differences contain
    the same baseline runs does no harm: they enter the layout once. A mean of the arms' own
    variances of differences would count them once per arm, with up to twice as many false alarms.

    None if there is no degree of freedom: a single arm, or no seed that two arms share.
    """
    there = np.isfinite(runs)
    arm, seed = np.nonzero(there)
    design = np.zeros((len(arm), sum(runs.shape)))
    design[np.arange(len(arm)), arm] = 1
    design[np.arange(len(arm)), runs.shape[0] + seed] = 1
    solution, _, rank, _ = np.linalg.lstsq(design, runs[there], rcond=None)
    df = len(arm) - int(rank)
    if df < 1:
        return None
    return _noise(runs[there] - design @ solution, df)


def level_noise(arms: Sequence[Floats]) -> RunNoise | None:
    """Noise of a training run from the runs [S] of several arms, each around its own arm's mean.

    Unlike `run_noise` it holds what a seed does to all arms alike, for a level is no difference.
    None without an arm of 2 runs.
    """
    several = [runs for runs in arms if len(runs) > 1]
    if not several:
        return None
    residuals = np.concatenate([runs - runs.mean() for runs in several])
    return _noise(residuals, len(residuals) - len(several))


def _noise(residuals: Floats, df: int) -> RunNoise:
    """Residuals enlarged by √(n/df) (Rao and Wu 1988): what is resampled has the right variance."""
    square = float(residuals @ residuals)
    if square < 1e-24:  # runs that equal each other but for rounding
        return RunNoise(np.zeros_like(residuals), 0.0, df)
    return RunNoise(np.sort(residuals) * np.sqrt(len(residuals) / df), square / df, df)


def crossed_mean(table: Floats, run: float, df: int) -> CrossedMean:
    """Variance of the mean of `table` [S, I], S ≥ 2 and I ≥ 2, without missing values.

    run: variance of one seed's mean, with its degrees of freedom: 2·RunNoise.variance for
    differences to a baseline. It replaces the table's own MS_seed/I.

    The variance is at least that of seeds alone and of images alone. Satterthwaite's df is too
    large where the estimate of the seeds' part is small by bad luck, which happens often with 1 or
    2 degrees of freedom; it is held at ν·(ν + 1)/2 for ν of seeds. In simulations this keeps
    the error rate near its level for ν ≥ 2, and does not bind from about ν = 6 on.
    """
    seeds, images = table.shape
    of_seed, of_image = table.mean(1), table.mean(0)
    mean = float(table.mean())
    rest = table - of_seed[:, None] - of_image[None] + mean
    deviations = np.sort(of_image - mean) * np.sqrt(images / (images - 1))
    by_seed = run / seeds
    by_image = float((deviations**2).mean()) / images
    free = (seeds - 1) * (images - 1)
    by_rest = float((rest**2).sum()) / free / (seeds * images)
    variance = max(by_seed + by_image - by_rest, by_seed, by_image)
    parts = by_seed**2 / df + by_image**2 / (images - 1) + by_rest**2 / free
    fine = variance**2 / parts if parts > 0 else df
    return CrossedMean(
        mean=mean,
        variance=variance,
        df=float(np.clip(fine, 1.0, df * (df + 1) / 2)),
        by_seed=by_seed,
        by_image=by_image,
        images=deviations,
    )


def p_value(found: CrossedMean) -> float:
    """Two-sided t test that the mean is 0, seeds and images both being samples."""
    if found.mean == 0:
        return 1.0
    if found.variance == 0:
        return 0.0
    return float(2 * stats.t.sf(abs(found.mean) / np.sqrt(found.variance), found.df))


def interval(
    found: CrossedMean, deviations: Floats, seeds: int, alpha: float, resamples: int, seed: int = 0
) -> tuple[float, float]:
    """Two-level bootstrap interval of `found.mean` with confidence 1 − alpha.

    Each resample draws `seeds` runs from `deviations` and as many images as there are, both with
    replacement and crossed: a drawn run counts for all images. Three corrections, without which
    an interval from 3 seeds covers the truth in 3 of 4 studies where training runs are noisy:

    - deviations are enlarged by √(n/(n − 1)) at either level (Rao and Wu 1988);
    - what both levels contain is counted once, by bringing the resamples to `found.variance`
      (resampling crossed tables counts it twice or thrice: Owen 2007);
    - the interval is widened by t/z, with Satterthwaite's degrees of freedom: the reason of
      Hesterberg's (2015) expanded percentile interval. His way, quantiles further out,
      fails with few seeds, since a handful of values has no tail to look at.

    Two runs are drawn per seed and subtracted, which makes the seeds' part symmetric: its skewness
    cannot be known from a few runs. Half the resamples use the other half's ranks from the far
    end, so that changing all signs mirrors the interval exactly.
    """
    total = found.by_seed + found.by_image
    if found.variance == 0 or total == 0:
        return found.mean, found.mean
    random = np.random.default_rng(seed)
    half = max(resamples // 2, 1)
    images = len(found.images)
    drawn = random.integers(0, images, (half, images))
    by_image = _means(found.images, drawn)
    by_run = np.zeros_like(by_image)
    if found.by_seed > 0:
        runs = random.integers(0, len(deviations), (2, half, seeds))
        by_run = _means(deviations, runs[0]) - _means(deviations, runs[1])
        by_run *= np.sqrt(found.by_seed / (2 * (deviations**2).mean() / seeds))
    low, high = np.quantile(by_image + by_run, [alpha / 2, 1 - alpha / 2])
    wider = stats.t.isf(alpha / 2, found.df) / stats.norm.isf(alpha / 2)
    factor = wider * np.sqrt(found.variance / total)
    return found.mean + float(low) * factor, found.mean + float(high) * factor


def _means(values: Floats, ranks: NDArray[np.int64]) -> Floats:
    """[2R] means of the drawn `values`, sorted ones, and of those as far from the other end."""
    return np.concatenate([values[ranks].mean(1), values[len(values) - 1 - ranks].mean(1)])


def detectable(variance: float, df: float, level: float, power: float) -> float:
    """Smallest true mean that a two-sided t test at `level` finds with probability `power`.

    By the noncentral t distribution; the chance to find it with the wrong sign is not counted.
    """
    beyond = stats.t.isf(level / 2, df)

    def missing(shift: float) -> float:
        return float(stats.nct.sf(beyond, df, shift)) - power

    far = beyond + 2.0
    while missing(far) < 0:
        far *= 2
    return float(optimize.brentq(missing, 0.0, far, xtol=1e-6)) * float(np.sqrt(variance))
