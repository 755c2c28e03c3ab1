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


def confusion(predicted: Mask, reference: Mask) -> dict[str, int]:
    """COUNTS of two boolean arrays."""
    tp = int(np.count_nonzero(predicted & reference))
    fp = int(np.count_nonzero(predicted)) - tp
    fn = int(np.count_nonzero(reference)) - tp
    return {"tp": tp, "fp": fp, "fn": fn, "tn": reference.size - tp - fp - fn}


def f1_of(predicted: Mask, reference: Mask) -> float:
    """F1 = 2·TP/(2·TP + FP + FN) of two boolean arrays; NaN where both are empty."""
    return float(rates(confusion(predicted, reference))["f1"])


def pooled_f1(masks: Sequence[Mask], references: Sequence[Mask], fovs: Sequence[Mask]) -> float:
    """F1 of all pixels of several images inside their fields of view; 0 where there is nothing to
    find."""
    return float(np.nan_to_num(f1_of(inside(masks, fovs), inside(references, fovs))))


def inside(maps: Sequence[NDArray[Any]], fovs: Sequence[Mask]) -> NDArray[Any]:
    """[pixels] of all maps inside the fields of view."""
    return np.concatenate([of_image[fov] for of_image, fov in zip(maps, fovs, strict=True)])


def rates(counts: Mapping[str, Any]) -> dict[str, Values]:
    """RATES of COUNTS, which may be arrays: SE = TP/(TP + FN), SP = TN/(TN + FP), … What divides by
    zero is NaN."""
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
