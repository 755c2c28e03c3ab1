"""Scores on the test split: every model once, at the threshold that was fixed on validation."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from configs.settings import EvaluateSettings
from data.imageset import LoadedImage, load_image, read_index, write_png
from data.progress import Interrupted, Progress
from data.store import METRICS as METRICS_FILE
from data.store import Inputs, write_atomic, write_json
from segmenter.inference.predict import as_png
from segmenter.metrics import METRICS, best_threshold, pooled, score
from segmenter.models import Model
from segmenter.training.fit import reference_mask

TEST, VALIDATION = "test", "validation"
REGIONS = ("fov", "whole")
CURVE_POINTS = 200
GREEN, RED, BLUE = (0, 158, 115), (213, 94, 0), (86, 180, 233)  # colour-blind safe
NO_REFERENCE = (
    "the test images have no manual segmentation (DRIVE's official test package has none), "
    "so nothing can be scored; the predicted maps are written all the same"
)


def evaluate(settings: EvaluateSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.evaluate`. inputs: `test` and `validation` (image sets; the latter only
    with settings.flips), all others models by name.

    Writes metrics.json (pooled, and per-image means with 95 % intervals, in the FOV and on the
    whole image, for every model and further observer), per_image.csv, curves.json, and pictures.
    """
    folder = inputs[TEST].path
    images = [load_image(folder, record) for record in read_index(folder, "test")]
    scored = bool(images) and all(image.target is not None for image in images)
    names = sorted(inputs.keys() - {TEST, VALIDATION})
    table: dict[str, Any] = {}
    curves: dict[str, Any] = {}
    rows: list[list[Any]] = []
    for number, name in enumerate(names):
        model = Model.load(inputs[name].path)
        if settings.flips:
            model.threshold = _threshold_with_flips(model, inputs[VALIDATION].path)
        probs = []
        for done, image in enumerate(images, start=1):
            if progress.stop_requested:
                raise Interrupted
            probs.append(model.predict(image.image, settings.flips))
            _pictures(out, name, image, probs[-1], model.threshold)
            progress.update(number * len(images) + done, len(names) * len(images), "image")
        if scored:
            table[name] = {"threshold": model.threshold} | _score_all(
                name, images, probs, model.threshold, settings, rows
            )
            curves[name] = _curves(images, probs)
    result: dict[str, Any] = {
        "images": len(images),
        "reference": "1st" if scored else None,
        "models": table,
        "observers": _observers(images, settings, rows) if scored else {},
    }
    if not scored:
        result["note"] = NO_REFERENCE if images else "there are no test images"
        progress.message(result["note"])
    write_json(out / "curves.json", curves)
    _write_rows(out / "per_image.csv", rows)
    write_json(out / METRICS_FILE, result)


def _threshold_with_flips(model: Model, folder: Path) -> float:
    """The threshold with the highest pooled F1 on the validation images, predicted with flips."""
    images = [load_image(folder, record) for record in read_index(folder, "validation")]
    probs = [model.predict(image.image, flips=True) for image in images]
    return best_threshold(probs, [reference_mask(i) for i in images], [i.fov for i in images])[0]


def _score_all(
    name: str,
    images: list[LoadedImage],
    probs: list[NDArray[Any]],
    threshold: float,
    settings: EvaluateSettings,
    rows: list[list[Any]],
) -> dict[str, Any]:
    """Pooled metrics and per-image means of one model (or observer) in both regions."""
    result = {}
    references = [reference_mask(image) for image in images]
    for region in REGIONS:
        fovs = [i.fov if region == "fov" else np.ones_like(i.fov) for i in images]
        each = [score(p, r, f, threshold) for p, r, f in zip(probs, references, fovs, strict=True)]
        rows += [
            [name, image.id, region, *(_round(values[m]) for m in METRICS)]
            for image, values in zip(images, each, strict=True)
        ]
        together = pooled(probs, references, fovs, threshold)
        result[region] = {
            "pooled": {m: _round(together[m]) for m in METRICS},
            "mean": {m: interval([values[m] for values in each], settings) for m in METRICS},
        }
    return result


def interval(values: list[float], settings: EvaluateSettings) -> list[float | None]:
    """[mean, low, high]: the percentile bootstrap's 95 % interval over images, NaN left out."""
    finite = np.array([v for v in values if math.isfinite(v)])
    if finite.size == 0:
        return [None, None, None]
    draws = np.random.default_rng(settings.seed).integers(
        finite.size, size=(settings.bootstrap, finite.size)
    )
    low, high = np.percentile(finite[draws].mean(1), [2.5, 97.5])
    return [_round(float(finite.mean())), _round(float(low)), _round(float(high))]


def _observers(
    images: list[LoadedImage], settings: EvaluateSettings, rows: list[list[Any]]
) -> dict[str, Any]:
    """Further human observers scored like a model, where they segmented every test image."""
    names = sorted(set.intersection(*(set(image.observers) for image in images)))
    return {
        name: _score_all(
            f"observer {name}",
            images,
            [image.observers[name].astype(np.float32) for image in images],
            0.5,
            settings,
            rows,
        )
        for name in names
    }


def _curves(images: list[LoadedImage], probs: list[NDArray[Any]]) -> dict[str, Any]:
    """Pooled ROC and precision-recall curves inside the FOV, thinned to CURVE_POINTS."""
    prob = np.concatenate([p[i.fov] for p, i in zip(probs, images, strict=True)])
    truth = np.concatenate([reference_mask(i)[i.fov] for i in images])
    if truth.all() or not truth.any():
        return {}
    fpr, tpr, _ = roc_curve(truth, prob)
    precision, recall, _ = precision_recall_curve(truth, prob)
    return {
        "roc": {"fpr": _thin(fpr, fpr), "tpr": _thin(tpr, fpr)},
        "pr": {"recall": _thin(recall, recall), "precision": _thin(precision, recall)},
    }


def _thin(values: NDArray[Any], along: NDArray[Any]) -> list[float]:
    """About CURVE_POINTS of the values, evenly spaced in `along` (monotonic)."""
    ascending = along if along[-1] >= along[0] else along[::-1]
    at = np.searchsorted(ascending, np.linspace(0, 1, CURVE_POINTS)).clip(0, len(along) - 1)
    picked = (values if along[-1] >= along[0] else values[::-1])[np.unique(at)]
    return [round(float(v), 6) for v in picked]


def _pictures(
    out: Path, name: str, image: LoadedImage, prob: NDArray[Any], threshold: float
) -> None:
    """The probability map and, on the grey image, hits (green), false alarms, misses (blue)."""
    write_png(out / "prob" / name / f"{image.id}.png", as_png(prob))
    grey = image.image.mean(2, keepdims=True).repeat(3, 2) * 0.6
    mask = prob >= threshold
    truth = mask if image.target is None else reference_mask(image)
    for where, colour in ((mask & truth, GREEN), (mask & ~truth, RED), (~mask & truth, BLUE)):
        grey[where] = colour
    write_png(out / "overlays" / name / f"{image.id}.png", grey.astype(np.uint8))


def _round(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _write_rows(path: Path, rows: list[list[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "id", "region", *METRICS])
    writer.writerows(rows)
    write_atomic(path, text.getvalue())
