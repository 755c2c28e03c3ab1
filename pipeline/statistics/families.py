"""Does an arm beat another beyond chance? Seeds and images both count as samples.

An arm is called different only if two tests agree and stay below alpha after Holm's correction:
Wilcoxon's over images, which asks little of the distribution but takes the training runs as given,
and the t test of `crossed`, which does not. Taking the larger p keeps the level of either test,
whichever is right (an intersection-union test). The interval must exclude 0 as well.

The primary arms at the endpoints, each against its real-only arm, are one family: Holm's correction
over all of them. What else is compared with real-only arms is corrected within its place, and
what is compared with another arm within that arm's comparisons at the place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from vesselforge.configs.statistics import StatisticsSettings
from vesselforge.pipeline.statistics.crossed import (
    CrossedMean,
    Floats,
    RunNoise,
    crossed_mean,
    detectable,
    interval,
    level_noise,
    p_value,
    run_noise,
)
from vesselforge.pipeline.study.schema import Effect, Place

Runs = Mapping[int, Sequence[float] | NDArray[np.floating]]
Level = tuple[float, float, float]
Verdict = Literal["gain", "harm", "none shown", "untested"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """One arm at one place, and its differences to another, before any correction.

    measured: seeds and images behind the level. pair: differences [S, I] on the seeds and images
    that both have, None where there is nothing to compare with. noise: of a training run, pooled
    over all arms compared with that other one.
    """

    arm: str
    against: str
    place: Place
    level: Level
    measured: tuple[int, int]
    pair: Floats | None = None
    noise: RunNoise | None = None

    @property
    def tested(self) -> bool:
        """Two seeds and two images, at least."""
        return self.pair is not None and min(self.pair.shape) > 1

    def effect(self, settings: StatisticsSettings, family: int) -> Effect:
        """Its figures but for corrected p values; some are absent where seeds or images are < 2.

        The interval is not corrected for other arms. detectable is at the level alpha/family, which
        is where Holm starts among so many (family: comparisons corrected together), so that it
        holds for one effect among others that are none; it is None where so few images can never
        reach that level in Wilcoxon's test.
        """
        table, noise = self.pair, self.noise
        seeds, images = self.measured if table is None else table.shape
        figures: dict[str, Any] = {"place": self.place, "against": self.against}
        figures |= {"level": self.level, "seeds": seeds, "images": images}
        if table is None or not table.size:
            return Effect(**figures)
        figures |= {"mean": float(table.mean()), "by_seed": table.mean(1).tolist()}
        if images > 1:
            figures["p_images"] = float(image_p(table.mean(0)))
        if noise is not None and self.tested:
            found = crossed_mean(table, 2 * noise.variance, noise.df)  # a difference has two runs
            figures["sd_seeds"] = float(np.sqrt(found.by_seed * seeds))
            figures["p_seeds"] = p_value(found)
            bounds = found.mean, found.mean
            if np.any(table):  # equal students are equal, however noisy the training of others is
                sampling = settings.alpha, settings.bootstrap
                bounds = interval(found, noise.deviations, seeds, *sampling)
            figures["low"], figures["high"] = bounds
            share = settings.alpha / family
            if 2.0 ** (1 - images) < share:
                figures["detectable"] = detectable(found.variance, found.df, share, settings.power)
        return Effect(**figures)


class Scored:
    """Every run on every image of one place, by one metric.

    values: arm → seed → the metric of each test image [I], in one order of images; NaN where it
    is undefined (an empty mask). Failed runs are left out.
    """

    def __init__(
        self, values: Mapping[str, Runs], place: Place, settings: StatisticsSettings
    ) -> None:
        self.tables, self.place, self.settings = _tables(values), place, settings

    @cached_property
    def levels(self) -> dict[str, tuple[Level, tuple[int, int]]]:
        """Each arm's mean with its interval, and the seeds and images behind it."""
        complete = {}
        for arm, runs in self.tables.items():
            own = np.array(list(runs.values()))
            complete[arm] = own[:, np.isfinite(own).all(0)]
        noise = level_noise([table.mean(1) for table in complete.values() if table.size])
        found = {}
        for arm, table in complete.items():
            if not table.size:  # no image that all runs have: their means are what is left
                table = np.nanmean(list(self.tables[arm].values()), axis=1)[:, None]
            seeds, images = table.shape
            found[arm] = level_interval(table, self.settings, noise), (seeds, images)
        return found

    def comparisons(self, against: Mapping[str, str]) -> list[Comparison]:
        """Each of these arms that has a result, against another; an empty name: its level alone.

        Arms with the same other arm are taken to be equally noisy, and share one estimate of that
        (`run_noise`). Against an arm without a result the pair is empty.
        """
        against = {arm: other for arm, other in against.items() if arm in self.tables}
        noises = {
            other: _family_noise(
                [self.tables[other], *(self.tables[a] for a, o in against.items() if o == other)]
            )
            for other in dict.fromkeys(against.values())
            if other in self.tables
        }
        return [
            Comparison(
                arm,
                other,
                self.place,
                *self.levels[arm],
                _pair(self.tables[arm], self.tables.get(other, {})) if other else None,
                noises.get(other),
            )
            for arm, other in against.items()
        ]


def judged(
    comparisons: Sequence[Comparison],
    settings: StatisticsSettings,
    primary: Collection[tuple[str, Place]] = (),
) -> list[Effect]:
    """The effect of each comparison, corrected within its place, and verdicts.

    primary: (arm, place) of those that decide, which are also corrected all together, and judged by
    that. With one seed, or one image, a comparison is "untested": mean, `by_seed` and, over images,
    `p_images` describe these very runs, and no interval is given; it does not count for Holm.
    """
    tested = [c for c in comparisons if c.tested]
    places = dict.fromkeys(c.place for c in tested)
    families = [("p_holm", [c for c in tested if c.place == place]) for place in places]
    families.append(("p_primary", [c for c in tested if (c.arm, c.place) in primary]))
    sizes = {c: len(family) for _, family in families for c in family}
    effects = {c: c.effect(settings, sizes.get(c, 1)) for c in comparisons}
    for name, family in families:
        worst = [max(effects[c].p_images or 0.0, effects[c].p_seeds or 0.0) for c in family]
        for c, p in zip(family, map(float, holm(worst)), strict=True):
            said = verdict(p, effects[c].low, effects[c].high, settings.alpha)
            effects[c] = effects[c].model_copy(update={name: p, "verdict": said})
    return list(effects.values())


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


def _tables(values: Mapping[str, Runs]) -> dict[str, dict[int, Floats]]:
    """Runs as arrays; infinite and missing alike are NaN. Empty arms are left out."""
    tables: dict[str, dict[int, Floats]] = {}
    for arm, runs in values.items():
        for seed, found in runs.items():
            row = np.array(found, np.float64)
            row[~np.isfinite(row)] = np.nan
            if np.isfinite(row).any():
                tables.setdefault(arm, {})[seed] = row
    return tables


def _pair(arm: Mapping[int, Floats], base: Mapping[int, Floats]) -> Floats:
    seeds = [seed for seed in arm if seed in base]
    if not seeds:
        return np.empty((0, 0))
    table = np.array([arm[seed] - base[seed] for seed in seeds])
    return table[:, np.isfinite(table).all(0)]


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
