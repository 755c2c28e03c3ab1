"""Predictions for a set of images against one reference: pooled, per image, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vesselforge.segmenter.metrics.confusion import Mask, Prob
from vesselforge.segmenter.metrics.intervals import interval_of, mean_interval, resamples, rounded
from vesselforge.segmenter.metrics.scores import (
    ADDITIVE,
    METRICS,
    Regions,
    Tally,
    derived,
    pixels_of,
    pool,
    tally_of,
)

REGIONS = ("fov", "whole")


class Prediction:
    """A probability map [H, W] in [0, 1], or a human's mask, cut at a threshold; or with the mask
    that was made of it otherwise.

    Keep it while scoring against several references: skeleton and components are found once.
    """

    def __init__(
        self, prob: Prob | Mask, fov: Mask, threshold: float = 0.5, mask: Mask | None = None
    ) -> None:
        self.prob: Prob = prob.astype(np.float32, copy=False)
        self.regions = Regions(self.prob >= threshold if mask is None else mask, fov)


@dataclass(frozen=True)
class SetScores:
    """per_image: region → one dict of METRICS an image. summary: region → `pooled` (metric →
    value), `pooled_interval` (metric → [low, high] over resampled images; none for AUC and AP),
    `mean` (metric → [mean, low, high] over images); None for what is undefined, six digits."""

    per_image: dict[str, list[dict[str, float]]]
    summary: dict[str, dict[str, Any]]


def score_set(
    predictions: Sequence[Prediction],
    truths: Sequence[Regions],
    bootstrap: int = 2000,
    seed: int = 0,
) -> SetScores:
    """Score every image and all of them together, inside the field of view and as a whole."""
    per_image, summary = {}, {}
    for region in REGIONS:
        tallies, pixels = [], []
        for prediction, truth in zip(predictions, truths, strict=True):
            tally, inside = _image(prediction, truth, region)
            tallies.append(tally)
            pixels.append(inside)
        each = [tally.metrics() for tally in tallies]
        together = pool(tallies, pixels).metrics()
        per_image[region] = each
        summary[region] = {
            "pooled": {name: rounded(together[name]) for name in METRICS},
            "pooled_interval": _pooled_intervals(tallies, bootstrap, seed),
            "mean": {m: mean_interval([v[m] for v in each], bootstrap, seed) for m in METRICS},
        }
    return SetScores(per_image, summary)


def _image(prediction: Prediction, truth: Regions, region: str) -> tuple[Tally, tuple[Prob, Mask]]:
    whole = region == "whole" or truth.fov is None
    fov = None if whole else truth.fov
    predicted = prediction.regions.whole if whole else prediction.regions.inside
    reference = truth.whole if whole else truth.inside
    pixels = pixels_of(prediction.prob, truth.whole.mask, fov)
    return tally_of(pixels, predicted, reference, fov), pixels


def _pooled_intervals(
    tallies: Sequence[Tally], bootstrap: int, seed: int
) -> dict[str, list[float | None]]:
    """95 % intervals of the pooled metrics: images are drawn again, their counts added up."""
    images = len(tallies)
    drawn = resamples(images, bootstrap, seed)
    weights = np.stack([(drawn == image).sum(1) for image in range(images)], axis=1)
    counts = {
        name: weights @ np.array([tally.counts[name] for tally in tallies], dtype=np.float64)
        for name in tallies[0].counts
    }
    found = derived(counts)
    return {name: interval_of(found[name]) for name in ADDITIVE}
