"""What depends on the probabilities themselves: ROC AUC, average precision, the best threshold, and
whether a probability of 0.7 is right in 70 of 100 pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vesselforge.segmenter.metrics.confusion import Mask, Prob, Values, ratio

RANKING = ("auc", "ap")


def is_graded(prob: Prob) -> bool:
    """Whether these are probabilities rather than a 0/1 map."""
    return bool(((prob > 0) & (prob < 1)).any())


def ranking(prob: Prob, reference: Mask) -> dict[str, float]:
    """Area under the ROC curve and average precision; NaN for a binary map or a single class.

    AUC is the share of (vessel, background) pairs in the right order, ties counting half.
    AP = Σ (R_k − R_{k−1})·P_k over distinct thresholds, without interpolation. Both come from the
    two classes sorted by themselves: four times faster than one sort with the labels carried along.
    """
    both = reference.any() and not reference.all()
    if not (both and is_graded(prob)):
        return {"auc": float("nan"), "ap": float("nan")}
    vessel, other = np.sort(prob[reference]), np.sort(prob[~reference])
    values, first = np.unique(vessel, return_index=True)  # distinct thresholds, ascending
    here = np.diff(first, append=vessel.size)  # vessel pixels at each
    below = np.searchsorted(other, values, side="left")
    equal = np.searchsorted(other, values, side="right") - below
    pairs = float(vessel.size) * other.size
    tp = vessel.size - first  # vessel pixels at or above each threshold
    fp = other.size - below
    return {
        "auc": float((here * (below + equal / 2)).sum() / pairs),
        "ap": float((here * (tp / (tp + fp))).sum() / vessel.size),
    }


def best_threshold(
    probs: Sequence[Prob], references: Sequence[Mask], fovs: Sequence[Mask], bins: int = 500
) -> tuple[float, float]:
    """(threshold, pooled F1) with the highest F1 over thresholds k/bins, inside the FOVs."""
    edges = np.linspace(0, 1, bins + 1)
    positives, negatives = np.zeros(bins + 1), np.zeros(bins + 1)
    for prob, reference, fov in zip(probs, references, fovs, strict=True):
        # index k: prob lies in [k/bins, (k+1)/bins), so it is positive at every threshold ≤ k/bins
        index = np.clip(np.searchsorted(edges, prob[fov], side="right") - 1, 0, bins)
        truth = reference[fov].astype(bool)
        positives += np.bincount(index[truth], minlength=bins + 1)
        negatives += np.bincount(index[~truth], minlength=bins + 1)
    tp = positives[::-1].cumsum()[::-1]
    fp = negatives[::-1].cumsum()[::-1]
    f1 = 2 * tp / np.maximum(tp + fp + positives.sum(), 1)
    best = 1 + int(np.argmax(f1[1:bins]))  # neither everything nor nothing
    return float(edges[best]), float(f1[best])


BINS = 15
CALIBRATION = ("ece", "brier")


def calibration_counts(prob: Prob, reference: Mask) -> dict[str, Any]:
    """What ECE and the Brier score are made of, to be added up over images.

    `surplus`: [BINS] Σ (probability − truth) of the pixels in each bin; a probability on an edge
    belongs to the bin above it. All zero for a 0/1 map, which claims no probabilities.
    """
    if not is_graded(prob):
        return {"graded": 0.0, "squared": 0.0, "surplus": np.zeros(BINS)}
    wide = prob.astype(np.float64)
    error = wide - reference
    index = np.minimum((wide * BINS).astype(np.intp), BINS - 1)
    return {
        "graded": float(prob.size),
        "squared": float(error @ error),
        "surplus": np.bincount(index, weights=error, minlength=BINS),
    }


def calibration(counts: Mapping[str, Any]) -> dict[str, Values]:
    """Expected calibration error Σ_b n_b/n·|mean probability − vessel share| over BINS bins of
    equal width, and Brier score, the mean of (probability − truth)². NaN for a 0/1 map."""
    gaps = np.abs(np.asarray(counts["surplus"])).sum(-1)
    return {
        "ece": ratio(gaps, counts["graded"]),
        "brier": ratio(counts["squared"], counts["graded"]),
    }
