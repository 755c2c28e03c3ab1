"""Every comparison of a study, and which of them are corrected together.

The primary arms at the endpoints, each against its real-only arm, are one family: Holm's correction
over all of them. What else is compared with real-only arms is corrected within its place, and
what is compared with another arm within that arm's comparisons at the place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.statistics import StatisticsSettings
from vesselforge.pipeline.statistics.crossed import Floats, RunNoise, level_noise, run_noise
from vesselforge.pipeline.statistics.paired import holm, level_interval, paired_effect, verdict
from vesselforge.pipeline.study.schema import Effect, Place

Runs = Mapping[int, Sequence[float] | NDArray[np.floating]]
Level = tuple[float, float, float]


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
        """Its figures but for corrected p values. family: comparisons corrected together."""
        facts = {"place": self.place, "against": self.against, "level": self.level}
        seeds, images = self.measured if self.pair is None else self.pair.shape
        if self.pair is None or not self.pair.size:
            return Effect(**facts, seeds=seeds, images=images)
        by_seed = [float(mean) for mean in self.pair.mean(1)]
        figures = paired_effect(self.pair, self.noise, settings, family)
        return Effect(**facts, seeds=seeds, images=images, by_seed=by_seed, **figures)


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
