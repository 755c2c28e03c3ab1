"""Whether a probability of 0.7 is right in 70 of 100 pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vesselforge.segmenter.metrics.confusion import Mask, Prob, Values, ratio
from vesselforge.segmenter.metrics.ranking import is_graded

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
