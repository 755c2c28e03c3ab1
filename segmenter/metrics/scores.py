"""Segmentation metrics, each once, by its standard definition. NumPy in, floats out.

A metric that is undefined (no vessel in the reference, no probabilities) is NaN, never 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import skeletonize
from sklearn.metrics import average_precision_score, roc_auc_score

from configs.errors import DataError

Prob = NDArray[np.floating]
Mask = NDArray[np.bool_]
METRICS = ("f1", "se", "sp", "acc", "precision", "iou", "mcc", "auc", "ap", "cldice")
COUNTS = ("tp", "fp", "fn", "tn")


def score(
    prob: Prob, reference: Mask, fov: Mask | None = None, threshold: float = 0.5
) -> dict[str, float]:
    """Every metric of one image, at `prob >= threshold`.

    prob: [H, W] in [0, 1] (a 0/1 map has no AUC or AP). reference: [H, W] bool or 0/1.
    fov: [H, W] bool; pixels outside do not count. Raises DataError on mismatched shapes.

    F1 = 2·TP/(2·TP + FP + FN), SE = TP/(TP + FN), SP = TN/(TN + FP); clDice (Shit et al. 2021)
    compares skeletons, so it is NaN for pooled (one-dimensional) input.
    """
    prob, reference = np.asarray(prob), np.asarray(reference).astype(bool)
    inside = np.ones(reference.shape, dtype=bool) if fov is None else np.asarray(fov).astype(bool)
    if not prob.shape == reference.shape == inside.shape:
        raise DataError(
            f"score: prob {prob.shape}, reference {reference.shape} and fov {inside.shape} "
            "must have the same shape"
        )
    predicted = prob >= threshold
    p, r = predicted[inside], reference[inside]
    result = from_counts(*confusion(p, r))
    result |= ranking(prob[inside], r)
    result["cldice"] = (
        cl_dice(predicted & inside, reference & inside) if prob.ndim == 2 else float("nan")
    )
    return result


def pooled(
    probs: list[Prob], references: list[Mask], fovs: list[Mask], threshold: float
) -> dict[str, float]:
    """Metrics of all pixels of several images thrown together (SA-UNet's protocol)."""
    inside = [fov.ravel() for fov in fovs]
    prob = np.concatenate([p.ravel()[i] for p, i in zip(probs, inside, strict=True)])
    reference = np.concatenate([r.ravel()[i] for r, i in zip(references, inside, strict=True)])
    return score(prob, reference, None, threshold)


def confusion(predicted: Mask, reference: Mask) -> tuple[int, int, int, int]:
    """(TP, FP, FN, TN) of two boolean arrays."""
    tp = int(np.count_nonzero(predicted & reference))
    fp = int(np.count_nonzero(predicted)) - tp
    fn = int(np.count_nonzero(reference)) - tp
    return tp, fp, fn, reference.size - tp - fp - fn


def from_counts(tp: int, fp: int, fn: int, tn: int) -> dict[str, float]:
    """All metrics that follow from a confusion matrix, and the counts themselves."""
    mcc_below = float(tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return {
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "se": _ratio(tp, tp + fn),
        "sp": _ratio(tn, tn + fp),
        "acc": _ratio(tp + tn, tp + fp + fn + tn),
        "precision": _ratio(tp, tp + fp),
        "iou": _ratio(tp, tp + fp + fn),
        "mcc": _ratio(float(tp) * tn - float(fp) * fn, mcc_below**0.5),
        "tp": float(tp),
        "fp": float(fp),
        "fn": float(fn),
        "tn": float(tn),
    }


def ranking(prob: Prob, reference: Mask) -> dict[str, float]:
    """Area under the ROC curve and average precision; NaN for a binary map or a single class."""
    both = reference.any() and not reference.all()
    graded = bool(((prob > 0) & (prob < 1)).any())
    if not (both and graded):
        return {"auc": float("nan"), "ap": float("nan")}
    return {
        "auc": float(roc_auc_score(reference, prob)),
        "ap": float(average_precision_score(reference, prob)),
    }


def cl_dice(predicted: Mask, reference: Mask) -> float:
    """Centre-line Dice: harmonic mean of how much of each skeleton lies in the other's mask."""
    skeleton_p, skeleton_r = skeletonize(predicted), skeletonize(reference)
    precision = _ratio(np.count_nonzero(skeleton_p & reference), np.count_nonzero(skeleton_p))
    sensitivity = _ratio(np.count_nonzero(skeleton_r & predicted), np.count_nonzero(skeleton_r))
    return _ratio(2 * precision * sensitivity, precision + sensitivity)


def best_threshold(
    probs: list[Prob], references: list[Mask], fovs: list[Mask], bins: int = 500
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


def _ratio(above: Any, below: Any) -> float:
    return float(above) / float(below) if below else float("nan")
