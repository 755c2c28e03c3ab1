"""Does an arm beat the real-only arm beyond chance? Seeds and images both count as samples.

An arm is called different only if two tests agree and stay below alpha after Holm's correction
over all arms of the place: Wilcoxon's over images, which asks little of the distribution but takes
the training runs as given, and the t test of `flows.study.crossed`, which does not. Taking the
larger p keeps the level of either test, whichever is right (an intersection-union test). The
interval must exclude 0 as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from configs.errors import DataError
from configs.study import StatisticsSettings
from flows.study.crossed import (
    Floats,
    RunNoise,
    Spread,
    detectable,
    interval,
    level_noise,
    own_noise,
    p_value,
    run_noise,
    spread,
)
from flows.study.schema import Effect, Place

Runs = Mapping[int, Sequence[float] | NDArray[np.floating]]
Verdict = Literal["gain", "harm", "none shown", "untested"]


@dataclass(frozen=True)
class Pair:
    """Differences [S, I] of an arm and its baseline, on the seeds and images that both have.

    dropped: images left out because the metric is not a number in some of these runs.
    """

    table: Floats
    seeds: tuple[int, ...]
    dropped: int


def study_effects(
    values: Mapping[str, Runs],
    baselines: Mapping[str, str | None],
    settings: StatisticsSettings,
    place: Place,
) -> dict[str, Effect]:
    """What every arm did at one place.

    values: arm → seed → the metric of each test image [I], in one order of images; NaN where it
    is undefined (an empty mask). Failed runs are left out. baselines: arm → its real-only arm,
    None for those themselves, which get their level alone.

    Arms of one baseline are a family: their training runs are taken to be equally noisy, and share
    one estimate of that (`run_noise`). Holm's correction is over all tested arms, families
    together. With one seed, or one image, an arm is "untested": mean, `by_seed` and, over images,
    `p_images` describe these very runs, and no interval is given. Arms without any value are
    left out.

    Raises DataError if runs have different numbers of images, or a baseline is unknown.
    """
    tables = _tables(values)
    for arm, baseline in baselines.items():
        if baseline is not None and baseline not in values:
            raise DataError(
                f"arm {arm}: is compared with {baseline}, which has no results; found "
                f"{', '.join(values) or 'none'}: name the real-only arm of the same study"
            )
    pairs = {
        arm: _pair(tables[arm], tables[base])
        for arm in tables
        if (base := baselines.get(arm)) is not None and base in tables
    }
    noises = {
        base: _family_noise([tables[base], *(tables[a] for a in pairs if baselines[a] == base)])
        for base in {baselines[arm] for arm in pairs}
        if base is not None
    }
    tested = [arm for arm, pair in pairs.items() if min(pair.table.shape) > 1]
    level = level_noise([_run_means(runs) for runs in tables.values()])
    effects = {}
    for arm, runs in tables.items():
        base = baselines.get(arm)
        noise = None if base is None else noises.get(base)
        effects[arm] = _effect(runs, pairs.get(arm), noise, level, settings, place, len(tested))
    worst = [max(effects[arm].p_images or 0.0, effects[arm].p_seeds or 0.0) for arm in tested]
    for arm, p in zip(tested, holm(worst), strict=True):
        found = effects[arm]
        said = verdict(float(p), found.low, found.high, settings.alpha)
        effects[arm] = found.model_copy(update={"p_holm": float(p), "verdict": said})
    return effects


def paired_effect(
    table: Floats, noise: RunNoise | None, settings: StatisticsSettings, arms: int = 1
) -> dict[str, float | None]:
    """The figures of one arm from its differences [S, I] to the baseline, S ≥ 1 and I ≥ 1.

    noise: of one training run, pooled over arms; None: estimated from this table's seeds alone.
    Keys are those of `Effect`: mean, low, high (alpha is not corrected for other arms here),
    sd_images (of differences averaged over seeds), sd_seeds (of one seed's mean difference,
    as `noise` has it), p_images, p_seeds, and detectable: at the level alpha/arms, which is where
    Holm starts, so that it holds for one arm with an effect among others without. It is None
    where so few images can never reach that level in Wilcoxon's test. Keys may be absent, with
    fewer than 2 seeds or images.
    """
    seeds, images = table.shape
    figures: dict[str, float | None] = {"mean": float(table.mean())}
    if images > 1:
        figures["sd_images"] = float(table.mean(0).std(ddof=1))
        figures["p_images"] = float(image_p(table.mean(0)))
    if seeds < 2 or images < 2:
        return figures
    noise, found = _spread(table, noise)
    figures["sd_seeds"] = float(np.sqrt(found.by_seed * seeds))
    figures["p_seeds"] = p_value(found)
    figures["low"], figures["high"] = found.mean, found.mean
    if np.any(table):  # equal students are equal, however noisy the training of others is
        figures["low"], figures["high"] = interval(
            found, noise.deviations, seeds, settings.alpha, settings.bootstrap, settings.seed
        )
    share = settings.alpha / arms
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


def verdict(p_holm: float | None, low: float | None, high: float | None, alpha: float) -> Verdict:
    """The rule: both the corrected p and the interval must speak against no difference."""
    if p_holm is None or low is None or high is None:
        return "untested"
    if p_holm < alpha and low > 0:
        return "gain"
    if p_holm < alpha and high < 0:
        return "harm"
    return "none shown"


def level_interval(
    table: Floats, settings: StatisticsSettings, noise: RunNoise | None = None
) -> tuple[float, float, float]:
    """Mean of the metric itself [S, I], low, high; seeds and images resampled, if 2 or more.

    Of one run the interval is that of images alone, of one image that of seeds alone; of a single
    number it is that number. noise: of a run, pooled over arms (`level_noise`); None: this arm's
    own, which with 2 seeds reaches far beyond the range of a metric.
    """
    seeds, images = table.shape
    mean = float(table.mean())
    noise = (noise or own_noise(table.mean(1))) if seeds > 1 else None
    if noise is not None and images > 1:
        found = spread(table, noise.variance, noise.df)
    elif max(seeds, images) > 1:  # one level, in the place of the images
        single = np.sort(table.ravel() - mean) * np.sqrt(table.size / (table.size - 1))
        variance = float((single**2).mean()) / table.size
        found = Spread(mean, variance, float(table.size - 1), 0.0, variance, single)
    else:
        return mean, mean, mean
    deviations = np.zeros(1) if noise is None else noise.deviations
    low, high = interval(
        found, deviations, seeds, settings.alpha, settings.bootstrap, settings.seed
    )
    return mean, low, high


def _tables(values: Mapping[str, Runs]) -> dict[str, dict[int, Floats]]:
    """Runs as arrays, checked; infinite and missing alike are NaN. Empty arms are left out."""
    tables: dict[str, dict[int, Floats]] = {}
    first: tuple[str, int] | None = None
    for arm, runs in values.items():
        for seed, found in runs.items():
            row = np.array(found, np.float64)
            row[~np.isfinite(row)] = np.nan
            first = first or (f"arm {arm}, seed {seed}", row.size)
            if row.ndim != 1 or row.size != first[1]:
                raise DataError(
                    f"arm {arm}, seed {seed}: found values of shape {row.shape}, expected "
                    f"({first[1]},) as in {first[0]}: score every run on the same test images"
                )
            if np.isfinite(row).any():
                tables.setdefault(arm, {})[seed] = row
    return tables


def _pair(arm: Mapping[int, Floats], base: Mapping[int, Floats]) -> Pair:
    seeds = tuple(seed for seed in arm if seed in base)
    if not seeds:
        return Pair(np.empty((0, 0)), (), 0)
    table = np.array([arm[seed] - base[seed] for seed in seeds])
    whole = np.isfinite(table).all(0)
    return Pair(table[:, whole], seeds, int((~whole).sum()))


def _family_noise(family: Sequence[Mapping[int, Floats]]) -> RunNoise | None:
    """Pooled noise of a run. Each image counts by its distance from the image's mean over runs, so
    that an image which a run lacks does not move that run's mean."""
    seeds = sorted({seed for runs in family for seed in runs})
    rows = {(a, s): row for a, runs in enumerate(family) for s, row in runs.items()}
    stack = np.array(list(rows.values()))
    stack = stack[:, np.isfinite(stack).any(0)]
    means = np.nanmean(stack - np.nanmean(stack, axis=0), axis=1)
    runs = np.full((len(family), len(seeds)), np.nan)
    for (a, s), mean in zip(rows, means, strict=True):
        runs[a, seeds.index(s)] = mean
    return run_noise(runs)


def _run_means(runs: Mapping[int, Floats]) -> Floats:
    """[S] mean of each run over the images that all of them have."""
    own = np.array(list(runs.values()))
    return own[:, np.isfinite(own).all(0)].mean(1) if np.isfinite(own).all(0).any() else own[:0, 0]


def _spread(table: Floats, noise: RunNoise | None) -> tuple[RunNoise, Spread]:
    """Spread of differences. Without pooled noise, half of their own: a difference has two runs."""
    if noise is None:
        own = own_noise(table.mean(1))
        if own is None:
            raise ValueError("a table with one seed has no noise of seeds")
        noise = RunNoise(own.deviations / np.sqrt(2), own.variance / 2, own.df)
    return noise, spread(table, 2 * noise.variance, noise.df)


def _effect(
    runs: Mapping[int, Floats],
    pair: Pair | None,
    noise: RunNoise | None,
    of_levels: RunNoise | None,
    settings: StatisticsSettings,
    place: Place,
    arms: int,
) -> Effect:
    """An arm's figures, without those that depend on the number of arms."""
    own = np.array(list(runs.values()))
    own = own[:, np.isfinite(own).all(0)]
    if not own.size:  # no image that all runs have: their means are what is left
        own = np.nanmean(np.array(list(runs.values())), axis=1)[:, None]
    level = level_interval(own, settings, of_levels)
    if pair is None or not pair.table.size:
        seeds, images = own.shape if pair is None else (len(pair.seeds), 0)
        return Effect(place=place, level=level, seeds=seeds, images=images)
    seeds, images = pair.table.shape
    by_seed = [float(mean) for mean in pair.table.mean(1)]
    figures = paired_effect(pair.table, noise, settings, arms)
    return Effect(place=place, level=level, seeds=seeds, images=images, by_seed=by_seed, **figures)
