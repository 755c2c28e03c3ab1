"""Models scored at their own thresholds: each once on the test split; champion and challenger on
validation images."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from vesselforge.configs.settings import CompareSettings, EvaluateSettings
from vesselforge.data.imageset import LoadedImage, load_image, read_index, write_png
from vesselforge.data.layouts.splits import TEST, VALIDATION
from vesselforge.engine.artifacts import METRICS as METRICS_FILE
from vesselforge.engine.artifacts import Inputs
from vesselforge.engine.files import write_csv, write_json
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.components import Mask
from vesselforge.segmenter.inference.predict import as_png
from vesselforge.segmenter.inference.showing import UNKNOWN, Showing, showing
from vesselforge.segmenter.metrics.confusion import f1_of, inside, pooled_f1
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
from vesselforge.segmenter.model_files import calibration_of
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.operating_point import rechoose, truths

CURVE_POINTS = 200
COUNTS = "counts.json"
BEST = "f1_best"
"""F1 at the threshold with the highest pooled F1 in the field of view on the scored images
themselves, before any rule of components: what is left of a difference once both models are as well
calibrated as they can be."""
GREEN, RED, BLUE = (0, 158, 115), (213, 94, 0), (86, 180, 233)  # colour-blind safe
NO_REFERENCE = (
    "the test images have no manual segmentation, so nothing can be scored; the predicted maps are "
    "written all the same"
)


def evaluate(settings: EvaluateSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.evaluate`. inputs: `test` and `validation` (image sets; the latter only
    with settings.flips, and without it the models' own thresholds hold), all others models by name.

    Writes metrics.json (for every model and further observer, in the FOV and on the whole image:
    pooled, and means over images, with 95 % intervals; under `against`, every model by what the
    further observers drew; BEST with its threshold), per_image.csv, per_image_observers.csv,
    counts.json (model → region → one dict an image, which add up over images), curves.json, and
    pictures.
    """
    folder = inputs[TEST].path
    images = [load_image(folder, record) for record in read_index(folder, TEST)]
    scored = bool(images) and all(image.target is not None for image in images)
    names = sorted(inputs.keys() - {TEST, VALIDATION})
    board = Scoreboard(images if scored else [], settings)
    curves: dict[str, Any] = {}
    for number, name in enumerate(names):
        model = Model.load(inputs[name].path, runtime=settings.runtime)
        if settings.flips and VALIDATION in inputs:
            _choose_with_flips(model, inputs[VALIDATION].path, settings)
        if model.magnification is None and settings.fov_width == "model":
            progress.message(f"{name}: {UNKNOWN}")
        probs, masks, sizes = [], [], []
        for done, image in enumerate(images, start=1):
            if progress.stop_requested:
                raise Interrupted
            sizes.append(showing(model, image.image, image.fov, settings.fov_width))
            scale = sizes[-1].scale
            probs.append(model.predict(image.image, settings.flips, scale=scale))
            masks.append(model.mask(probs[-1], scale))
            _pictures(out, name, image, probs[-1], masks[-1])
            progress.update(number * len(images) + done, len(names) * len(images), "image")
        if scored:
            board.add_model(name, probs, masks, operating_point(model) | {"shown": _sizes(sizes)})
            curves[name] = _curves(images, probs)
    board.add_observers()
    result: dict[str, Any] = {"images": len(images), "reference": "1st" if scored else None}
    result |= {"models": board.models, "observers": board.observers}
    if not scored:
        result["note"] = NO_REFERENCE if images else "there are no test images"
        progress.message(result["note"])
    write_json(out / "curves.json", curves)
    write_json(out / COUNTS, board.counts)
    head = ["id", "region", *METRICS, BEST]
    write_csv(out / "per_image.csv", [["model", *head], *board.rows])
    if board.further:
        rows = [["model", "observer", *head], *board.further_rows]
        write_csv(out / "per_image_observers.csv", rows)
    write_json(out / METRICS_FILE, result)


def compare(settings: CompareSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.compare`. inputs: `images`, a prepared set; all others models by name.

    Each model predicts the validation images as `segmenter predict` would, at its own threshold.
    Writes per_image.csv and metrics.json: `images`, how many; `f1`, model → mean over images;
    `per_image`, id → model → F1 inside the field of view, in [0, 1].
    """
    folder, names = inputs["images"].path, sorted(inputs.keys() - {"images"})
    records = [r for r in read_index(folder, VALIDATION) if r.id not in settings.leave_out]
    images = [load_image(folder, record, soft=False) for record in records]
    found: dict[str, dict[str, float]] = {image.id: {} for image in images}
    for number, name in enumerate(names):
        model = Model.load(inputs[name].path, runtime=settings.runtime)
        for done, image in enumerate(images, start=1):
            if progress.stop_requested:
                raise Interrupted
            scale = showing(model, image.image, image.fov).scale
            mask = model.mask(model.predict(image.image, scale=scale), scale)
            found[image.id][name] = round(pooled_f1([mask], [image.reference], [image.fov]), 6)
            progress.update(number * len(images) + done, len(names) * len(images), "image")
    rows = [[id_, *scores.values()] for id_, scores in found.items()]
    write_csv(out / "per_image.csv", [["id", *names], *rows])
    means = {n: sum(s[n] for s in found.values()) / len(found) for n in names} if found else {}
    means = {name: round(mean, 6) for name, mean in means.items()}
    write_json(out / METRICS_FILE, {"images": len(images), "f1": means, "per_image": found})


def operating_point(model: Model) -> dict[str, Any]:
    """How a model's mask is made, for readers: its threshold; the calibration of each member where
    one has any; the rule of an ensemble; the rule of components where there is one."""
    found: dict[str, Any] = {"threshold": model.threshold}
    each = [calibration_of(network) for network in model.networks]
    found |= {"calibration": each} if any(each) else {}
    found |= {"rule": asdict(model.rule)} if len(each) > 1 else {}
    return found | model.components.said()


class Scoreboard:
    """The scores of an evaluation. What is derived from a reference is kept for all models.

    Observers besides the reference count where they segmented every image.
    """

    def __init__(self, images: list[LoadedImage], settings: EvaluateSettings) -> None:
        self.images, self.settings = images, settings
        self.models: dict[str, Any] = {}
        self.observers: dict[str, Any] = {}
        self.rows: list[list[Any]] = []
        self.counts: dict[str, Any] = {}
        self.further_rows: list[list[Any]] = []
        self.reference = [Regions(i.reference, i.fov, i.ignored) for i in images]
        names = sorted({name for image in images for name in image.observers})
        self.further = {
            name: [Regions(i.observers[name], i.fov, i.ignored) for i in images]
            for name in names
            if all(name in image.observers for image in images)
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
        return [
            Prediction(prob, image.fov, mask=mask, ignored=image.ignored)
            for prob, image, mask in each
        ]

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
        if rows is self.rows:
            self.counts[names[0]] = {
                region: [{n: np.asarray(v).tolist() for n, v in image.items()} for image in images]
                for region, images in found.counts.items()
            }
        threshold, _ = best_threshold([p.prob for p in predictions], masks, fovs)
        for region in REGIONS:
            each = found.per_image[region]
            for values, p, mask, image in zip(each, predictions, masks, self.images, strict=True):
                inside = image.fov if region == "fov" else np.ones_like(image.fov)
                inside = inside if image.ignored is None else inside & ~image.ignored
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
    images = [load_image(folder, record) for record in read_index(folder, VALIDATION)]
    scales = [showing(model, i.image, i.fov, settings.fov_width).scale for i in images]
    pairs = zip(images, scales, strict=True)
    rechoose(model, [model.members(i.image, True, scale=scale) for i, scale in pairs], images)


def _sizes(sizes: list[Showing]) -> dict[str, Any]:
    """How many images were shown at which size: `found_by` → images, and their mean `scale`."""
    counts = Counter(each.found for each in sizes)
    return {"found_by": dict(counts), "scale": round(float(np.mean([s.scale for s in sizes])), 4)}


def _curves(images: list[LoadedImage], probs: list[NDArray[Any]]) -> dict[str, Any]:
    """Pooled ROC and precision-recall curves inside the FOV, thinned to CURVE_POINTS."""
    references, fovs = truths(images)
    prob, truth = inside(probs, fovs), inside(references, fovs)
    if truth.all() or not truth.any():
        return {}
    fpr, tpr, _ = roc_curve(truth, prob)
    precision, recall, _ = (each[::-1] for each in precision_recall_curve(truth, prob))
    return {
        "roc": {"fpr": _thin(fpr, fpr), "tpr": _thin(tpr, fpr)},
        "pr": {"recall": _thin(recall, recall), "precision": _thin(precision, recall)},
    }


def _thin(values: NDArray[Any], along: NDArray[Any]) -> list[float]:
    """About CURVE_POINTS of the values, evenly spaced in `along` (ascending)."""
    at = np.searchsorted(along, np.linspace(0, 1, CURVE_POINTS)).clip(0, len(along) - 1)
    return [round(float(v), 6) for v in values[np.unique(at)]]


def _pictures(out: Path, name: str, image: LoadedImage, prob: NDArray[Any], mask: Mask) -> None:
    """The probability map and, on the grey image, hits (green), false alarms, misses (blue)."""
    write_png(out / "prob" / name / f"{image.id}.png", as_png(prob))
    grey = image.image.mean(2, keepdims=True).repeat(3, 2) * 0.6
    truth = mask if image.target is None else image.reference
    for where, colour in ((mask & truth, GREEN), (mask & ~truth, RED), (~mask & truth, BLUE)):
        grey[where] = colour
    write_png(out / "overlays" / name / f"{image.id}.png", grey.astype(np.uint8))
