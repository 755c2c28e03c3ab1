"""Several segmenters as one: their probabilities or decisions combined, with a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from vesselforge.configs.errors import CheckpointError, DataError
from vesselforge.configs.settings import EnsembleSettings
from vesselforge.data.imageset import LoadedImage, load_image, read_index
from vesselforge.engine.artifacts import METRICS, Inputs
from vesselforge.engine.files import write_json
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.combine import DECIDED, DECISIONS, MEAN, NUMBERS, PROB_FLOOR, Rule
from vesselforge.segmenter.components import ALL
from vesselforge.segmenter.metrics import pooled_f1
from vesselforge.segmenter.model_files import Member, read_description, read_members, save_model
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.operating_point import (
    Maps,
    choose_pieces,
    choose_threshold,
    maps_of,
    truths,
)

VALIDATION = "validation"
DESCRIPTION = "ensemble.json"
MOST_PIXELS = 200_000
"""Pixels that `stacked` is fitted on, at most: for n + 1 numbers, plenty."""
EVIDENCE = 0.01
"""Weight of a pixel beside the prior of `stacked` (scikit-learn's C). Neighbouring pixels say the
same, so that a hundred of them count as one."""


def ensemble(settings: EnsembleSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.ensemble`. inputs: `validation` (an image set), all others models.

    Copies the members' weights, so that the folder is a model of its own. Weights, coefficients
    and the threshold are chosen on the validation images, of maps that are calibrated where their
    members are; `or`, `and` and `majority` take each member's threshold as it is in its folder.
    Where a member has a rule of components, so has the ensemble: its own, chosen there, too.
    metrics.json says what was chosen, with the validation F1 (pooled, inside the FOV) of the
    ensemble and of each member at its threshold, before any rule of components.
    Raises CheckpointError for a member that is no single network, DataError for validation images
    of which nothing can be learned.
    """
    names = sorted(inputs.keys() - {VALIDATION})
    members: list[tuple[Member, dict[str, Tensor]]] = []
    thresholds: list[float] = []
    for name in names:
        member, tensors, threshold = _single(inputs[name].path, name)
        members.append((replace(member, file=f"members/{name}.safetensors"), tensors))
        thresholds.append(threshold)
    save_model(out, members, DECIDED, DESCRIPTION)  # the rule is chosen with this model
    model = Model.load(out)
    folder = inputs[VALIDATION].path
    images = [load_image(folder, record) for record in read_index(folder, "validation")]
    maps = maps_of(model, images, progress)
    each = [
        round(pooled_f1([m[i] >= t for m in maps], *truths(images)), 6)
        for i, t in enumerate(thresholds)
    ]
    rule = choose_rule(settings, maps, images, thresholds, each)
    threshold, f1 = choose_threshold(rule, maps, images)
    ruled = any(read_description(inputs[name].path).components != ALL for name in names)
    components = choose_pieces(rule, maps, images, threshold) if ruled else ALL
    save_model(out, members, threshold, DESCRIPTION, rule, components)
    found = [{"f1": f, "threshold": t} for f, t in zip(each, thresholds, strict=True)]
    if rule.method in ("weighted", "stacked"):
        for entry, number in zip(found, getattr(rule, NUMBERS[rule.method]), strict=True):
            entry[NUMBERS[rule.method].removesuffix("s")] = round(number, 6)
    figures: dict[str, Any] = {"f1": round(f1, 6), "threshold": threshold}
    result: dict[str, Any] = {"method": rule.method, "validation": figures}
    result |= {"members": len(members), "each": dict(zip(names, found, strict=True))}
    result |= {} if components == ALL else {"components": components.as_json()}
    if rule.method == "stacked":
        result["intercept"] = round(rule.intercept, 6)
    write_json(out / METRICS, result)


def _single(folder: Path, name: str) -> tuple[Member, dict[str, Tensor], float]:
    members, threshold = read_members(folder)
    if len(members) != 1:
        raise CheckpointError(
            f"{folder}: found an ensemble of {len(members)} networks as the member {name!r}, "
            "expected a single network; give its members instead"
        )
    if not 0 < threshold < 1:
        raise CheckpointError(
            f"{folder}: found the threshold {threshold:g}, expected it between 0 and 1"
        )
    return *members[0], threshold


def choose_rule(
    settings: EnsembleSettings,
    maps: Maps,
    images: Sequence[LoadedImage],
    thresholds: Sequence[float],
    f1: Sequence[float],
) -> Rule:
    """The rule of a method, with its numbers. thresholds, f1: of each member.

    weighted: in proportion to f1, or equal where every f1 is 0.
    """
    if settings.method in DECISIONS:
        return Rule(settings.method, thresholds=tuple(thresholds))
    if settings.method == "weighted":
        total = sum(f1)
        weights = [value / total if total else 1 / len(f1) for value in f1]
        return Rule("weighted", weights=tuple(weights))
    return fit_stacked(maps, images) if settings.method == "stacked" else MEAN


def fit_stacked(maps: Maps, images: Sequence[LoadedImage]) -> Rule:
    """Logistic regression on the members' logits at pixels inside the fields of view.

    At most MOST_PIXELS, equally many an image, drawn by a fixed stream. Its prior holds the
    coefficients near 0 (ridge). Raises DataError where there are no vessels, or nothing else.
    """
    draw, share = np.random.default_rng(0), MOST_PIXELS // max(len(images), 1)
    columns, truths = [], []
    for of_image, image in zip(maps, images, strict=True):
        inside = np.flatnonzero(image.fov)
        if inside.size > share:
            inside = np.sort(draw.choice(inside, share, replace=False))
        prob = of_image.reshape(len(of_image), -1)[:, inside].astype(np.float64)
        prob = prob.clip(PROB_FLOOR, 1 - PROB_FLOOR)
        columns.append(np.log(prob) - np.log1p(-prob))
        truths.append(image.reference.ravel()[inside])
    logits, truth = np.concatenate(columns, axis=1).T, np.concatenate(truths)
    if truth.all() or not truth.any():
        raise DataError(
            "ensembles: the validation images have pixels of one kind only inside their fields of "
            "view, expected vessels and background; `stacked` cannot be fitted, choose another"
        )
    fitted = LogisticRegression(C=EVIDENCE, max_iter=1000).fit(logits, truth)
    coefficients = tuple(float(value) for value in fitted.coef_[0])
    return Rule("stacked", coefficients=coefficients, intercept=float(fitted.intercept_[0]))
