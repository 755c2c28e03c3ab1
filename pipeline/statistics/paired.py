"""Does an arm beat another beyond chance? Seeds and images both count as samples.

An arm is called different only if two tests agree and stay below alpha after Holm's correction:
Wilcoxon's over images, which asks little of the distribution but takes the training runs as given,
and the t test of `crossed`, which does not. Taking the larger p keeps the level of
either test, whichever is right (an intersection-union test). The interval must exclude 0 as well.
Which comparisons are corrected together: `families`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import stats

from vesselforge.configs.statistics import StatisticsSettings
from vesselforge.pipeline.statistics.crossed import (
    CrossedMean,
    Floats,
    RunNoise,
    crossed_mean,
    detectable,
    interval,
    p_value,
)

Verdict = Literal["gain", "harm", "none shown", "untested"]


def paired_effect(
    table: Floats, noise: RunNoise | None, settings: StatisticsSettings, family: int = 1
) -> dict[str, float | None]:
    """The figures of one arm from its differences [S, I] to another, S ≥ 1 and I ≥ 1.

    noise: of one training run, pooled over arms; None with fewer than 2 seeds.
    Keys are those of `Effect`: mean, low, high (alpha is not corrected for other arms here),
    sd_seeds (of one seed's mean difference, as `noise` has it), p_images, p_seeds, and detectable:
    at the level alpha/family, which is where Holm starts among so many, so that it holds for one
    effect among others that are none. It is None where so few images can never reach that level in
    Wilcoxon's test. Keys may be absent, with fewer than 2 seeds or images.
    """
    seeds, images = table.shape
    figures: dict[str, float | None] = {"mean": float(table.mean())}
    if images > 1:
        figures["p_images"] = float(image_p(table.mean(0)))
    if noise is None or seeds < 2 or images < 2:
        return figures
    found = crossed_mean(table, 2 * noise.variance, noise.df)  # a difference has two runs
    figures["sd_seeds"] = float(np.sqrt(found.by_seed * seeds))
    figures["p_seeds"] = p_value(found)
    figures["low"], figures["high"] = found.mean, found.mean
    if np.any(table):  # equal students are equal, however noisy the training of others is
        figures["low"], figures["high"] = interval(
            found, noise.deviations, seeds, settings.alpha, settings.bootstrap
        )
    share = settings.alpha / family
    if 2.0 ** (1 - images) < share:
        figures["detectable"] = detectable(found.variance, found.df, share, settings.power)
    return figures


def image_p(differences: Floats) -> Floats:
    """p of Wilcoxon's signed-rank test over the last axis; 1 where all differences are 0."""
    equal = np.all(differences == 0, axis=-1)
    safe = np.where(np.expand_dims(equal, -1), 1.0, differences)  # scipy warns of them
    return np.where(equal, 1.0, stats.wilcoxon(safe, axis=-1).pvalue)


def holm(p: Sequence[float] | Floats) -> Floats:
    """Holm's (1979) step-down corrected p values, in the order given: [K] in [0, 1]."""
    found = np.asarray(p, np.float64)
    order = np.argsort(found, kind="stable")
    stepped = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1))
    corrected = np.empty_like(found)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def verdict(p: float | None, low: float | None, high: float | None, alpha: float) -> Verdict:
    """The rule: both the corrected p and the interval must speak against no difference."""
    if p is None or low is None or high is None:
        return "untested"
    if p < alpha and low > 0:
        return "gain"
    if p < alpha and high < 0:
        return "harm"
    return "none shown"


def level_interval(
    table: Floats, settings: StatisticsSettings, noise: RunNoise | None
) -> tuple[float, float, float]:
    """Mean of the metric itself [S, I], low, high; seeds and images resampled, if 2 or more.

    Of one run the interval is that of images alone, of one image that of seeds alone; of a single
    number it is that number. noise: of a run, pooled over arms (`level_noise`); needed where both
    are several.
    """
    seeds, images = table.shape
    mean, deviations = float(table.mean()), np.zeros(1)
    if min(seeds, images) > 1:
        assert noise is not None
        found, deviations = crossed_mean(table, noise.variance, noise.df), noise.deviations
    elif max(seeds, images) > 1:  # one level, in the place of the images
        single = np.sort(table.ravel() - mean) * np.sqrt(table.size / (table.size - 1))
        variance = float((single**2).mean()) / table.size
        found = CrossedMean(mean, variance, float(table.size - 1), 0.0, variance, single)
    else:
        return mean, mean, mean
    low, high = interval(found, deviations, seeds, settings.alpha, settings.bootstrap)
    return mean, low, high
