"""Studies whose truth is known: noise of training runs, of images, and of both together."""

from __future__ import annotations

import numpy as np

from vesselforge.pipeline.statistics.crossed import (
    Floats,
    crossed_mean,
    detectable,
    p_value,
    run_noise,
)
from vesselforge.pipeline.statistics.families import holm, image_p

IMAGES = 20


def draw(studies: int, arms: int, seeds: int, run_sd: float, seed: int = 0) -> Floats:
    """[studies, arms + 1, seeds, images], the real-only arm first; no arm differs in truth.

    An image's value in a run has noise of sd 1 beside the image's own difficulty (sd 3) and what
    an arm changes on an image, whatever the seed (sd 0.7). A training run moves all its images by
    run_sd, and a seed moves all arms by half of that.
    """
    random = np.random.default_rng([seed, arms, seeds, int(10 * run_sd)])
    shape = (studies, arms + 1, seeds, IMAGES)
    return (
        random.normal(size=shape)
        + 3.0 * random.normal(size=(studies, 1, 1, IMAGES))
        + 0.7 * random.normal(size=(studies, arms + 1, 1, IMAGES))
        + run_sd * random.normal(size=(studies, arms + 1, seeds, 1))
        + run_sd / 2 * random.normal(size=(studies, 1, seeds, 1))
    )


def corrected(values: Floats) -> tuple[Floats, Floats]:
    """Of each study, p after Holm [studies, arms]: of the rule, and of Wilcoxon's test alone."""
    differences = values[:, 1:] - values[:, :1]
    images = image_p(differences.mean(2))
    crossed = np.empty_like(images)
    for study, runs in enumerate(values):
        noise = run_noise(runs.mean(2))
        assert noise is not None
        for arm, table in enumerate(differences[study]):
            crossed[study, arm] = p_value(crossed_mean(table, 2 * noise.variance, noise.df))
    rule = np.array([holm(p) for p in np.maximum(images, crossed)])
    return rule, np.array([holm(p) for p in images])


def median_detectable(values: Floats, level: float, power: float) -> float:
    """What a typical one of these studies says that it can find in its first arm."""
    found = []
    for runs in values:
        noise = run_noise(runs.mean(2))
        assert noise is not None
        difference = crossed_mean(runs[1] - runs[0], 2 * noise.variance, noise.df)
        found.append(detectable(difference.variance, difference.df, level, power))
    return float(np.median(found))
