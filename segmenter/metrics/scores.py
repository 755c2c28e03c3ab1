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
from numpy.typing import ArrayLike, NDArray

from vesselforge.configs.errors import DataError
from vesselforge.configs.ranges import is_number
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
Maps = ArrayLike | Sequence[ArrayLike]
"""One array [H, W] or several."""
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


def score(
    prob: Maps, reference: Maps, fov: Maps | None = None, threshold: float = 0.5
) -> dict[str, float]:
    """Every one of METRICS of a map [H, W] in [0, 1], or of several as one, at a threshold.

    reference, fov: masks [H, W] of at most two values, the greater one vessel or inside; of several
    maps as many. Only what is inside is scored; without fov, every pixel is. NaN: undefined, such
    as Betti errors of several maps as one. Raises DataError for what is no such map or mask, and
    for numbers and shapes that differ.

    >>> import vesselforge as vf
    >>> eye = vf.phantom(seed=1, size=64)
    >>> found = vf.score(0.9 * eye.mask, eye.mask, eye.fov)
    >>> found["f1"], found["auc"], round(found["brier"], 3) < 0.01
    (1.0, 1.0, True)
    """
    if not is_number(threshold, 0, 1):
        raise DataError(f"score: threshold: found {threshold!r}, expected 0 to 1")
    probs, masks = [_probable(each) for each in _several(prob)], _masks("reference", reference)
    insides = [None] * len(probs) if fov is None else _masks("fov", fov)
    if not probs or not len(probs) == len(masks) == len(insides):
        raise DataError(
            f"score: found {len(probs)} maps, {len(masks)} references and {len(insides)} fields of "
            "view, expected as many of each, at least one"
        )
    scored = [
        tally_of(Prediction(found, inside, threshold), Regions(mask, inside), "fov")
        for found, mask, inside in zip(probs, masks, insides, strict=True)
    ]
    tallies, pixels = zip(*scored, strict=True)
    return (tallies[0] if len(tallies) == 1 else pool(tallies, pixels)).metrics()


def _several(given: Maps) -> list[NDArray[Any]]:
    """One array [H, W], or each of several, which may be of different sizes."""
    if isinstance(given, list | tuple):
        return [np.asarray(each) for each in given]
    whole = np.asarray(given)  # of a tensor, too
    return [whole] if whole.ndim < 3 else list(whole)


def _probable(found: NDArray[Any]) -> Prob:
    known = found.dtype.kind in "bf" or (found.dtype.kind in "iu" and found.max(initial=0) <= 1)
    if found.ndim != 2 or not known or not ((found >= 0) & (found <= 1)).all():
        raise DataError(
            f"score: prob: found {_words(found)}, expected [H, W] of numbers from 0 to 1; divide a "
            "map of 8 bits by 255"
        )
    return found.astype(np.float32)


def _masks(name: str, given: Maps) -> list[Mask]:
    found = _several(given)
    for mask in found:
        known = mask.ndim == 2 and mask.dtype.kind in "biuf"
        if not known or not ((mask == 0) | (mask == mask.max(initial=0))).all():
            raise DataError(
                f"score: {name}: found {_words(mask)}, expected a mask [H, W] of 0 and one greater "
                "value"
            )
    return [mask > 0 for mask in found]


def _words(found: NDArray[Any]) -> str:
    if found.dtype.kind not in "biuf":
        return f"no numbers ({found.dtype})"
    values = f"{float(found.min()):g} to {float(found.max()):g}" if found.size else "nothing"
    return f"{found.dtype} {list(found.shape)} with {values}"


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
