"""Every metric of one image, or of a pool of images. NumPy in, floats out.

A metric that is undefined (no vessel in the reference, no probabilities) is NaN, never 0. Almost
everything follows from counts that add up over images; the exceptions are AUC and AP, which need
all probabilities at once, and Betti numbers, which belong to one image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vesselforge.configs.errors import DataError
from vesselforge.segmenter.metrics.confusion import (
    COUNTS,
    RATES,
    Mask,
    Prob,
    confusion,
    harmonic,
    rates,
    ratio,
)
from vesselforge.segmenter.metrics.probabilities import (
    CALIBRATION,
    RANKING,
    calibration,
    calibration_counts,
    ranking,
)
from vesselforge.segmenter.metrics.topology import (
    BANDS,
    THIN,
    Shape,
    betti_errors,
    calibre_counts,
    topology_counts,
)

LINES = ("cldice", "f1_1px")
CALIBRE = ("se_thin", *(f"se_{band}" for band in BANDS))
BETTI = (
    "betti0_error",
    "betti1_error",
    "components",
    "loops",
    "components_reference",
    "loops_reference",
)
METRICS = (*RATES, *RANKING, *LINES, *CALIBRE, *BETTI, *CALIBRATION)
ADDITIVE = (*RATES, *LINES, *CALIBRE, *CALIBRATION)
"""Metrics that follow from sums of counts over images."""
SPATIAL = (
    *("line_p", "line_p_hit", "line_r", "line_r_hit", "near_p", "near_r"),
    *(f"width_{band}{what}" for band in BANDS for what in ("", "_hit")),
)
"""The counts that a one-dimensional pool of pixels, which have no neighbours, cannot have."""


class Regions:
    """A vessel mask as a whole and inside its field of view, with what is derived from either
    computed once, however many masks it is compared with.

    fov: None, or all True: the field of view is the whole image. Raises DataError when the shapes
    differ.
    """

    def __init__(self, mask: ArrayLike, fov: ArrayLike | None = None) -> None:
        mask = np.asarray(mask).astype(bool)
        inside = np.ones(mask.shape, dtype=bool) if fov is None else np.asarray(fov).astype(bool)
        if inside.shape != mask.shape:
            raise DataError(
                f"score: mask {mask.shape} and fov {inside.shape} must have the same shape"
            )
        self.fov = None if inside.all() else inside
        self.whole = self.inside = Shape(mask)
        if self.fov is not None and (mask & ~inside).any():
            self.inside = Shape(mask & inside)


@dataclass(frozen=True)
class Tally:
    """What an image, or a set of them, contributes in one region. counts: add up over images, see
    `derived`. once: the metrics that do not."""

    counts: dict[str, Any]
    once: dict[str, float]

    def metrics(self) -> dict[str, float]:
        """Every one of METRICS."""
        found = {name: float(value) for name, value in derived(self.counts).items()} | self.once
        return {name: found.get(name, float("nan")) for name in METRICS}

    def scores(self) -> dict[str, float]:
        """Every one of METRICS and the confusion matrix."""
        return self.metrics() | {name: float(self.counts[name]) for name in COUNTS}


def score(
    prob: Prob, reference: Mask, fov: Mask | None = None, threshold: float = 0.5
) -> dict[str, float]:
    """Every metric of one image, at `prob >= threshold`, and its confusion matrix.

    prob: [H, W] in [0, 1] (a 0/1 map has no AUC, AP, ECE and Brier score). reference: [H, W] bool
    or 0/1. fov: [H, W] bool; pixels outside do not count. Pooled (one-dimensional) input has no
    topology and no calibres. Raises DataError on mismatched shapes.
    """
    return _inside(prob, reference, fov, threshold)[0].scores()


def pooled(
    probs: Sequence[Prob], references: Sequence[Mask], fovs: Sequence[Mask], threshold: float
) -> dict[str, float]:
    """Metrics of all pixels of several images thrown together (SA-UNet's protocol), and their
    confusion matrix.

    Centre lines, slack and calibres are counted image by image and added up; Betti numbers are NaN.
    """
    images = zip(probs, references, fovs, strict=True)
    tallies, pixels = zip(*(_inside(*image, threshold) for image in images), strict=True)
    return pool(tallies, pixels).scores()


def _inside(
    prob: Prob, reference: Mask, fov: Mask | None, threshold: float
) -> tuple[Tally, tuple[Prob, Mask]]:
    """The tally and the (probabilities, reference) of the pixels inside the field of view."""
    prob = np.asarray(prob)
    truth, predicted = Regions(reference, fov), Regions(prob >= threshold, fov)
    pixels = pixels_of(prob, truth.whole.mask, truth.fov)
    return tally_of(pixels, predicted.inside, truth.inside, truth.fov), pixels


def pixels_of(prob: Prob, reference: Mask, fov: Mask | None) -> tuple[Prob, Mask]:
    """Probability and reference of every pixel of a region. Raises DataError on other shapes."""
    if prob.shape != reference.shape:
        raise DataError(
            f"score: prob {prob.shape} and reference {reference.shape} must have the same shape"
        )
    return (prob.ravel(), reference.ravel()) if fov is None else (prob[fov], reference[fov])


def tally_of(
    pixels: tuple[Prob, Mask], predicted: Shape, reference: Shape, fov: Mask | None
) -> Tally:
    """The tally of one region of an image. pixels: its probabilities and reference; predicted and
    reference: the masks, empty outside the region; fov: the region, None for the whole image."""
    prob, truth = pixels
    positive = predicted.mask.ravel() if fov is None else predicted.mask[fov]
    counts: dict[str, Any] = dict(zip(COUNTS, confusion(positive, truth), strict=True))
    counts |= calibration_counts(prob, truth)
    once = ranking(prob, truth)
    if reference.mask.ndim != 2:
        return Tally(counts | dict.fromkeys(SPATIAL, float("nan")), once)
    counts |= topology_counts(predicted, reference)
    counts |= calibre_counts(predicted.mask[reference.mask], reference.diameters)
    return Tally(counts, once | betti_errors(predicted, reference))


def pool(tallies: Sequence[Tally], pixels: Sequence[tuple[Prob, Mask]]) -> Tally:
    """Several images as one: their counts added up, their pixels ranked together."""
    names = tallies[0].counts
    counts = {name: sum(tally.counts[name] for tally in tallies) for name in names}
    probs, truths = zip(*pixels, strict=True)
    return Tally(counts, ranking(np.concatenate(probs), np.concatenate(truths)))


def derived(counts: Mapping[str, Any]) -> dict[str, Any]:
    """The ADDITIVE metrics of counts, which may be arrays: one entry a resample.

    clDice and F1 with 1 px of slack (pixels within one row and column of the other mask count as
    right) are harmonic means of a precision and a sensitivity; se_thin is that of up to 3 px.
    """
    c = {name: np.asarray(value, dtype=np.float64) for name, value in counts.items()}
    lines = harmonic(ratio(c["line_p_hit"], c["line_p"]), ratio(c["line_r_hit"], c["line_r"]))
    slack = harmonic(ratio(c["near_p"], c["tp"] + c["fp"]), ratio(c["near_r"], c["tp"] + c["fn"]))
    hits = sum(c[f"width_{band}_hit"] for band in THIN)
    bands = {f"se_{b}": ratio(c[f"width_{b}_hit"], c[f"width_{b}"]) for b in BANDS}
    thin = ratio(hits, sum(c[f"width_{band}"] for band in THIN))
    found = {"cldice": lines, "f1_1px": slack, "se_thin": thin}
    return rates(c) | found | bands | calibration(c)
