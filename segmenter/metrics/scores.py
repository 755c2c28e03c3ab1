"""Every metric of images and of sets of them: pooled, per image, with intervals. NumPy in.

A metric that is undefined (no vessel in the reference, no probabilities) is NaN, never 0. Almost
everything follows from counts that add up over images; the exceptions are AUC and AP, which need
all probabilities at once, and Betti numbers, which belong to one image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vesselforge.configs.errors import DataError
from vesselforge.segmenter.metrics.confusion import RATES, Mask, Prob, confusion, rates
from vesselforge.segmenter.metrics.probabilities import (
    CALIBRATION,
    RANKING,
    calibration,
    calibration_counts,
    ranking,
)
from vesselforge.segmenter.metrics.topology import (
    BETTI,
    SHAPES,
    Shape,
    betti_errors,
    shape_counts,
    shape_rates,
)

REGIONS = ("fov", "whole")
METRICS = (*RATES, *RANKING, *SHAPES, *BETTI, *CALIBRATION)
Pixels = tuple[Prob, Mask]
"""Probability and reference of every pixel of a region."""


class Regions:
    """A vessel mask as a whole and inside its field of view, with what is derived from either
    computed once, however many masks it is compared with.

    fov: None, or all True: the field of view is the whole image. ignored: pixels that are in
    neither region, None without any. Raises DataError when the shapes differ.
    """

    def __init__(
        self, mask: ArrayLike, fov: ArrayLike | None = None, ignored: Mask | None = None
    ) -> None:
        mask = np.asarray(mask).astype(bool)
        inside = np.ones(mask.shape, dtype=bool) if fov is None else np.asarray(fov).astype(bool)
        self.ignored = ignored
        if ignored is not None:
            mask, inside = mask & ~ignored, inside & ~ignored
        if inside.shape != mask.shape:
            raise DataError(
                f"score: mask {mask.shape} and fov {inside.shape} must have the same shape"
            )
        self.fov = None if inside.all() else inside
        self.whole = self.inside = Shape(mask)
        if self.fov is not None and (mask & ~inside).any():
            self.inside = Shape(mask & inside)


class Prediction:
    """A probability map [H, W] in [0, 1], or a human's mask, cut at a threshold; or with the mask
    that was made of it otherwise. (A 0/1 map has no AUC, AP, ECE and Brier score.)

    Keep it while scoring against several references: skeleton and components are found once.
    """

    def __init__(
        self,
        prob: Prob | Mask,
        fov: Mask | None,
        threshold: float = 0.5,
        mask: Mask | None = None,
        ignored: Mask | None = None,
    ) -> None:
        self.prob: Prob = prob.astype(np.float32, copy=False)
        self.regions = Regions(self.prob >= threshold if mask is None else mask, fov, ignored)


@dataclass(frozen=True)
class Tally:
    """What an image, or a set of them, contributes in one region. counts: add up over images. once:
    the metrics that do not follow from them."""

    counts: dict[str, Any]
    once: dict[str, float]

    def metrics(self) -> dict[str, float]:
        """Every one of METRICS."""
        counts = self.counts
        found = rates(counts) | shape_rates(counts) | calibration(counts) | self.once
        return {name: float(found.get(name, math.nan)) for name in METRICS}


def tally_of(prediction: Prediction, truth: Regions, region: str) -> tuple[Tally, Pixels]:
    """The tally of one of REGIONS of an image, and its pixels. Raises DataError on mismatched
    shapes."""
    prob, reference = prediction.prob, truth.whole.mask
    if prob.shape != reference.shape:
        raise DataError(
            f"score: prob {prob.shape} and reference {reference.shape} must have the same shape"
        )
    if region == "whole" or truth.fov is None:
        ours, theirs = prediction.regions.whole, truth.whole
        where = np.ones_like(reference) if truth.ignored is None else ~truth.ignored
    else:
        ours, theirs, where = prediction.regions.inside, truth.inside, truth.fov
    pixels = prob[where], reference[where]
    counts = confusion(ours.mask[where], pixels[1]) | shape_counts(ours, theirs)
    counts |= calibration_counts(*pixels)
    return Tally(counts, ranking(*pixels) | betti_errors(ours, theirs)), pixels


def pool(tallies: Sequence[Tally], pixels: Sequence[Pixels]) -> Tally:
    """Several images as one (SA-UNet's protocol): their counts added up, their pixels ranked
    together; Betti numbers are NaN."""
    names = tallies[0].counts
    counts = {name: sum(tally.counts[name] for tally in tallies) for name in names}
    probs, truths = zip(*pixels, strict=True)
    return Tally(counts, ranking(np.concatenate(probs), np.concatenate(truths)))


@dataclass(frozen=True)
class SetScores:
    """per_image: region → one dict of METRICS an image. summary: region → `pooled` (metric →
    value) and `mean` (metric → [mean, low, high] over images); None for what is undefined, six
    digits. counts: region → what each image adds to a pool."""

    per_image: dict[str, list[dict[str, float]]]
    summary: dict[str, dict[str, Any]]
    counts: dict[str, list[dict[str, Any]]]


def score_set(
    predictions: Sequence[Prediction],
    truths: Sequence[Regions],
    bootstrap: int = 2000,
    seed: int = 0,
) -> SetScores:
    """Score every image and all of them together, inside the field of view and as a whole."""
    per_image, summary, counts = {}, {}, {}
    for region in REGIONS:
        images = zip(predictions, truths, strict=True)
        tallies, pixels = zip(*(tally_of(*image, region) for image in images), strict=True)
        per_image[region] = each = [tally.metrics() for tally in tallies]
        counts[region] = [tally.counts for tally in tallies]
        together = pool(tallies, pixels).metrics()
        summary[region] = {
            "pooled": {name: rounded(together[name]) for name in METRICS},
            "mean": {m: mean_interval([v[m] for v in each], bootstrap, seed) for m in METRICS},
        }
    return SetScores(per_image, summary, counts)


def mean_interval(values: Sequence[float], bootstrap: int, seed: int = 0) -> list[float | None]:
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
