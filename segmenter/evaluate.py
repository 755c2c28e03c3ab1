"""Scores on the test split: every model once, at the threshold that was fixed on validation."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from vesselforge.configs.settings import EvaluateSettings
from vesselforge.data.imageset import LoadedImage, load_image, read_index, write_png
from vesselforge.engine.artifacts import METRICS as METRICS_FILE
from vesselforge.engine.artifacts import Inputs
from vesselforge.engine.files import write_atomic, write_json
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.components import ALL, Mask
from vesselforge.segmenter.inference.predict import as_png, scale_for
from vesselforge.segmenter.metrics.confusion import f1_of
from vesselforge.segmenter.metrics.probabilities import best_threshold
from vesselforge.segmenter.metrics.scores import (
    METRICS,
    REGIONS,
    Prediction,
    Regions,
    mean_interval,
    rounded,
    score_set,
)
from vesselforge.segmenter.model_files import read_description
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.operating_point import rechoose

TEST, VALIDATION = "test", "validation"
CURVE_POINTS = 200
BEST = "f1_best"
"""F1 at the threshold with the highest pooled F1 in the field of view on the scored images
themselves, before any rule of components: what is left of a difference once both models are as well
calibrated as they can be."""
GREEN, RED, BLUE = (0, 158, 115), (213, 94, 0), (86, 180, 233)  # colour-blind safe
NO_REFERENCE = (
    "the test images have no manual segmentation (DRIVE's official test package has none), "
    "so nothing can be scored; the predicted maps are written all the same"
)


def evaluate(settings: EvaluateSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.evaluate`. inputs: `test` and `validation` (image sets; the latter only
    with settings.flips, and without it the models' own thresholds hold), all others models by name.

    Writes metrics.json (for every model and further observer, in the FOV and on the whole image:
    pooled, and means over images, with 95 % intervals; under `against`, every model by what the
    further observers drew; BEST with its threshold), per_image.csv, per_image_observers.csv,
    curves.json, and pictures.
    """
    folder = inputs[TEST].path
    images = [load_image(folder, record) for record in read_index(folder, "test")]
    scored = bool(images) and all(image.target is not None for image in images)
    names = sorted(inputs.keys() - {TEST, VALIDATION})
    board = Scoreboard(images, settings) if scored else None
    curves: dict[str, Any] = {}
    for number, name in enumerate(names):
        model = Model.load(inputs[name].path, runtime=settings.runtime)
        if settings.flips and VALIDATION in inputs:
            _choose_with_flips(model, inputs[VALIDATION].path, settings)
        probs, masks = [], []
        for done, image in enumerate(images, start=1):
            if progress.stop_requested:
                raise Interrupted
            scale = scale_for(image.fov, settings.fov_width)
            probs.append(model.predict(image.image, settings.flips, scale=scale))
            masks.append(model.mask(probs[-1], scale=scale))
            _pictures(out, name, image, probs[-1], masks[-1])
            progress.update(number * len(images) + done, len(names) * len(images), "image")
        if board is not None:
            board.add_model(name, probs, masks, operating_point(inputs[name].path, model))
            if len(model.networks) > 1:
                board.models[name]["rule"] = model.rule.as_json()
            curves[name] = _curves(images, probs)
    result: dict[str, Any] = {"images": len(images), "reference": "1st" if scored else None}
    if board is None:
        result |= {"models": {}, "observers": {}}
        result["note"] = NO_REFERENCE if images else "there are no test images"
        progress.message(result["note"])
    else:
        board.add_observers()
        result |= {"models": board.models, "observers": board.observers}
    write_json(out / "curves.json", curves)
    _write_rows(out / "per_image.csv", ["model"], board.rows if board else [])
    if board is not None and board.further:
        _write_rows(out / "per_image_observers.csv", ["model", "observer"], board.further_rows)
    write_json(out / METRICS_FILE, result)


def operating_point(folder: Path, model: Model) -> dict[str, Any]:
    """How a model's mask is made, for readers: its threshold; the calibration of each member where
    one has any; the rule of components where there is one."""
    found: dict[str, Any] = {"threshold": model.threshold}
    each = [member.calibration for member in read_description(folder).members]
    found |= {"calibration": each} if any(each) else {}
    return found | ({} if model.components == ALL else {"components": model.components.as_json()})


class Scoreboard:
    """The scores of an evaluation. What is derived from a reference is kept for all models.

    Observers besides the reference count where they segmented every image.
    """

    def __init__(self, images: list[LoadedImage], settings: EvaluateSettings) -> None:
        self.images, self.settings = images, settings
        self.models: dict[str, Any] = {}
        self.observers: dict[str, Any] = {}
        self.rows: list[list[Any]] = []
        self.further_rows: list[list[Any]] = []
        self.reference = [Regions(image.reference, image.fov) for image in images]
        names = sorted(set.intersection(*(set(image.observers) for image in images)))
        self.further = {
            name: [Regions(image.observers[name], image.fov) for image in images] for name in names
        }

    def add_model(
        self, name: str, probs: list[NDArray[Any]], masks: list[Mask], point: dict[str, Any]
    ) -> None:
        """Score a model against the reference, and against every further observer. point: how the
        masks were made of the maps."""
        predictions = self._with(probs, masks)
        self.models[name] = point | self._scored([name], predictions, self.reference, self.rows)
        against = {
            observer: self._scored([name, observer], predictions, truths, self.further_rows)
            for observer, truths in self.further.items()
        }
        self.models[name] |= {"against": against} if against else {}

    def add_observers(self) -> None:
        """Score every further human observer like a model."""
        for observer in self.further:
            masks = [image.observers[observer] for image in self.images]
            who, drawn = [f"observer {observer}"], self._with(masks, masks)
            self.observers[observer] = self._scored(who, drawn, self.reference, self.rows)

    def _with(self, probs: list[NDArray[Any]], masks: list[Mask]) -> list[Prediction]:
        each = zip(probs, self.images, masks, strict=True)
        return [Prediction(prob, image.fov, mask=mask) for prob, image, mask in each]

    def _scored(
        self,
        names: list[str],
        predictions: list[Prediction],
        truths: list[Regions],
        rows: list[list[Any]],
    ) -> dict[str, Any]:
        """The summary of the scores, BEST with it; a row for each image and region goes to rows."""
        found = score_set(predictions, truths, self.settings.bootstrap)
        masks, fovs = [t.whole.mask for t in truths], [image.fov for image in self.images]
        threshold, _ = best_threshold([p.prob for p in predictions], masks, fovs)
        for region in REGIONS:
            each = found.per_image[region]
            for values, p, mask, fov in zip(each, predictions, masks, fovs, strict=True):
                inside = fov if region == "fov" else np.ones_like(fov)
                values[BEST] = f1_of((p.prob >= threshold)[inside], mask[inside])
            summary = found.summary[region]
            best = [values[BEST] for values in each]
            summary["mean"][BEST] = mean_interval(best, self.settings.bootstrap)
            summary["best_threshold"] = rounded(threshold)
            rows += [
                [*names, image.id, region, *(rounded(values[m]) for m in (*METRICS, BEST))]
                for image, values in zip(self.images, each, strict=True)
            ]
        return found.summary


def _choose_with_flips(model: Model, folder: Path, settings: EvaluateSettings) -> None:
    """Thresholds with the highest pooled F1 on the validation images, predicted with flips."""
    images = [load_image(folder, record) for record in read_index(folder, "validation")]
    scales = [scale_for(image.fov, settings.fov_width) for image in images]
    pairs = zip(images, scales, strict=True)
    rechoose(model, [model.members(i.image, True, scale=scale) for i, scale in pairs], images)


def _curves(images: list[LoadedImage], probs: list[NDArray[Any]]) -> dict[str, Any]:
    """Pooled ROC and precision-recall curves inside the FOV, thinned to CURVE_POINTS."""
    prob = np.concatenate([p[i.fov] for p, i in zip(probs, images, strict=True)])
    truth = np.concatenate([i.reference[i.fov] for i in images])
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


def _pictures(out: Path, name: str, image: LoadedImage, prob: NDArray[Any], mask: Mask) -> None:
    """The probability map and, on the grey image, hits (green), false alarms, misses (blue)."""
    write_png(out / "prob" / name / f"{image.id}.png", as_png(prob))
    grey = image.image.mean(2, keepdims=True).repeat(3, 2) * 0.6
    truth = mask if image.target is None else image.reference
    for where, colour in ((mask & truth, GREEN), (mask & ~truth, RED), (~mask & truth, BLUE)):
        grey[where] = colour
    write_png(out / "overlays" / name / f"{image.id}.png", grey.astype(np.uint8))


def _write_rows(path: Path, who: list[str], rows: list[list[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*who, "id", "region", *METRICS, BEST])
    writer.writerows(rows)
    write_atomic(path, text.getvalue())
