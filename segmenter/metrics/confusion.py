"""The confusion matrix, and the rates that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mask = NDArray[np.bool_]
Prob = NDArray[np.floating]
Values = NDArray[np.float64]
COUNTS = ("tp", "fp", "fn", "tn")
RATES = ("f1", "se", "sp", "acc", "precision", "iou", "mcc")


def confusion(predicted: Mask, reference: Mask) -> tuple[int, int, int, int]:
    """(TP, FP, FN, TN) of two boolean arrays."""
    tp = int(np.count_nonzero(predicted & reference))
    fp = int(np.count_nonzero(predicted)) - tp
    fn = int(np.count_nonzero(reference)) - tp
    return tp, fp, fn, reference.size - tp - fp - fn


def from_counts(tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
    """All metrics that follow from a confusion matrix, and the counts themselves.

    F1 = 2·TP/(2·TP + FP + FN), SE = TP/(TP + FN), SP = TN/(TN + FP). What divides by zero is NaN.
    """
    counts = {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    found = {name: float(value) for name, value in rates(counts).items()}
    return found | {name: float(value) for name, value in counts.items()}


def pooled_f1(masks: Sequence[Mask], references: Sequence[Mask], fovs: Sequence[Mask]) -> float:
    """F1 of all pixels of several images inside their fields of view; 0 where there is nothing to
    find."""
    each = zip(masks, references, fovs, strict=True)
    counts = [confusion(mask[fov], reference[fov]) for mask, reference, fov in each]
    f1 = from_counts(*(sum(column) for column in zip(*counts, strict=True)))["f1"]
    return 0.0 if np.isnan(f1) else f1


def rates(counts: Mapping[str, Any]) -> dict[str, Values]:
    """RATES of counts that may be arrays: one entry a resample of the bootstrap."""
    tp, fp, fn, tn = (np.asarray(counts[name], dtype=np.float64) for name in COUNTS)
    # The root of each factor by itself: their product passes 2⁵³ on two images of DRIVE.
    below = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    return {
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "se": ratio(tp, tp + fn),
        "sp": ratio(tn, tn + fp),
        "acc": ratio(tp + tn, tp + fp + fn + tn),
        "precision": ratio(tp, tp + fp),
        "iou": ratio(tp, tp + fp + fn),
        "mcc": ratio(tp * tn - fp * fn, below),
    }


def ratio(above: ArrayLike, below: ArrayLike) -> Values:
    """above / below; NaN where below is 0."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    nothing = np.full(np.broadcast_shapes(above.shape, below.shape), np.nan)
    return np.divide(above, below, out=nothing, where=below != 0)


def harmonic(a: ArrayLike, b: ArrayLike) -> Values:
    """2ab/(a + b), but 0 as soon as either is 0, as F1 is where nothing was found; NaN where both
    are undefined."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    none_found = (a == 0) | (b == 0)
    return np.where(none_found, 0.0, ratio(2 * a * b, a + b))
