"""How often the statistics err, in simulated studies whose truth is known.

Rates are of a few hundred studies from fixed random numbers, so a rate of 5 % is known to ± 1 %.
"""

from __future__ import annotations

import numpy as np
import pytest
from simulated_studies import corrected, draw, median_detectable

from vesselforge.configs.statistics import StatisticsSettings
from vesselforge.pipeline.statistics.crossed import crossed_mean, interval, level_noise, run_noise
from vesselforge.pipeline.statistics.families import Scored, judged, level_interval
from vesselforge.pipeline.study.schema import Place

pytestmark = pytest.mark.slow

SETTINGS = StatisticsSettings(bootstrap=400)
NOISE = [0.0, 0.5, 2.0]  # of a training run, in units of the noise of one image


@pytest.mark.parametrize("run_sd", NOISE)
@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("arms", [1, 4])
def test_studies_without_an_effect_rarely_show_one(arms: int, seeds: int, run_sd: float) -> None:
    rule, _ = corrected(draw(400, arms, seeds, run_sd))
    assert (rule.min(1) < 0.05).mean() <= 0.07


@pytest.mark.parametrize(("run_sd", "share"), [(0.5, 0.2), (2.0, 0.9)])
def test_images_alone_would_be_fooled(run_sd: float, share: float) -> None:
    _, images = corrected(draw(200, 4, 3, run_sd))
    assert (images.min(1) < 0.05).mean() > share


@pytest.mark.parametrize("run_sd", NOISE)
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_what_is_called_detectable_is_detected(seeds: int, run_sd: float) -> None:
    values = draw(300, 4, seeds, run_sd, seed=1)
    values[:, 1] += median_detectable(values[:150], 0.05 / 4, power=0.8)
    rule, _ = corrected(values)
    assert 0.68 <= (rule[:, 0] < 0.05).mean() <= 0.88


@pytest.mark.parametrize("run_sd", NOISE)
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_cover_the_truth(seeds: int, run_sd: float) -> None:
    covered = []
    for runs in draw(80, 4, seeds, run_sd, seed=2):
        noise = run_noise(runs.mean(2))
        assert noise is not None
        for table in runs[1:] - runs[0]:
            found = crossed_mean(table, 2 * noise.variance, noise.df)
            low, high = interval(found, noise.deviations, seeds, 0.05, resamples=400, seed=0)
            covered.append(low <= 0 <= high)
    assert np.mean(covered) >= 0.92


def test_intervals_of_the_level_cover_it() -> None:
    covered = []
    for runs in draw(300, 1, 3, run_sd=0.5, seed=3):
        _, low, high = level_interval(runs[0], SETTINGS, level_noise([runs[0].mean(1)]))
        covered.append(low <= 0 <= high)
    assert np.mean(covered) >= 0.92


def test_the_study_applies_the_rule_that_was_simulated() -> None:
    values = draw(1, 4, 3, run_sd=0.5)[0]
    arms = {str(k): {s: values[k, s] for s in range(3)} for k in range(5)}
    place = Place(set="drive", observer="first")
    pairs = Scored(arms, place, SETTINGS).comparisons({str(k): "0" for k in range(1, 5)})
    rule, _ = corrected(values[None])
    assert [e.p_holm for e in judged(pairs, SETTINGS)] == pytest.approx(list(rule[0]))
