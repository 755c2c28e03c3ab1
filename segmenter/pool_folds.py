"""The scores of a cross-validation: every image once, by the model of the fold that tested it."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vesselforge.configs.settings import PoolSettings
from vesselforge.engine.artifacts import METRICS as METRICS_FILE
from vesselforge.engine.artifacts import Inputs
from vesselforge.engine.files import link_file, write_csv, write_json
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.evaluate import BEST, COUNTS
from vesselforge.segmenter.metrics.scores import METRICS, REGIONS, Tally, mean_interval, rounded

PER_IMAGE, BY_OBSERVERS = "per_image.csv", "per_image_observers.csv"
PICTURES = ("overlays", "prob")
Rows = list[dict[str, str]]


def pool_folds(settings: PoolSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Stage `segmenter.pool`. inputs: `segmenter.evaluate` of each fold, by any names.

    Writes what an evaluation does, of all images: metrics.json, per_image.csv and
    per_image_observers.csv (with the name of the fold) and pictures, which are links; of models and
    observers that all folds have. Counts of pixels are added up. What would rank pixels of
    different models together (AUC, AP, curves) is not there, but for means over images.
    """
    folds = {name: inputs[name].metrics for name in sorted(inputs)}
    rows = _rows(inputs, PER_IMAGE)
    counts = [json.loads((inputs[name].path / COUNTS).read_text()) for name in folds]
    scored = all(found["reference"] is not None for found in folds.values())
    result: dict[str, Any] = {
        "images": sum(found["images"] for found in folds.values()),
        "reference": "1st" if scored else None,
        "folds": len(folds),
    }
    for kind, prefix in (("models", ""), ("observers", "observer ")):
        result[kind] = {
            name: _facts([found[kind][name] for found in folds.values()])
            | _scored(f"{prefix}{name}", rows, counts, settings.bootstrap)
            for name in _shared([found[kind] for found in folds.values()])
        }
    if not scored:
        result["note"] = next(found["note"] for found in folds.values() if "note" in found)
    known = {*result["models"], *(f"observer {name}" for name in result["observers"])}
    head = ["model", "id", "region", *METRICS, BEST, "fold"]
    write_csv(out / PER_IMAGE, _table(head, [row for row in rows if row["model"] in known]))
    further = [row for row in _rows(inputs, BY_OBSERVERS) if row["observer"] in result["observers"]]
    if further := [row for row in further if row["model"] in known]:
        write_csv(out / BY_OBSERVERS, _table([head[0], "observer", *head[1:]], further))
    for source in (inputs[name].path for name in folds):
        for file in (file for kind in PICTURES for file in (source / kind).glob("*/*.png")):
            if file.parent.name in known:
                link_file(file, out / file.relative_to(source))
    write_json(out / METRICS_FILE, result)
    progress.update(len(folds), len(folds), "folds")


def _rows(inputs: Inputs, table: str) -> Rows:
    """The lines of a table of all folds that have it, each with the name of its fold."""
    found: Rows = []
    for name in sorted(inputs):
        path = inputs[name].path / table
        text = path.read_text() if path.is_file() else ""
        found += [row | {"fold": name} for row in csv.DictReader(text.splitlines())]
    return found


def _table(head: list[str], rows: Rows) -> list[list[str]]:
    return [head, *([row[column] for column in head] for row in rows)]


def _shared(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names that every fold has, in the order of the first."""
    return [name for name in found[0] if all(name in other for other in found)]


def _facts(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How the masks of a model were made, as far as that is the same in all folds."""
    names = [name for name in found[0] if name not in (*REGIONS, "against")]
    same = {n: found[0][n] for n in names if all(other.get(n) == found[0][n] for other in found)}
    methods = {(other.get("rule") or {}).get("method") for other in found}
    if "rule" in names and "rule" not in same and len(methods) == 1:
        same["rule"] = {"method": methods.pop()}
    return same


def _scored(name: str, rows: Rows, counts: Sequence[Any], bootstrap: int) -> dict[str, Any]:
    """Region → pooled figures and means over images, as an evaluation has them."""
    found = {}
    for region in REGIONS:
        each = [image for fold in counts for image in fold[name][region]]
        total = {key: np.sum([image[key] for image in each], axis=0) for key in each[0]}
        pooled = Tally(total, {}).metrics()
        own = [row for row in rows if row["model"] == name and row["region"] == region]
        found[region] = {
            "pooled": {metric: rounded(pooled[metric]) for metric in METRICS},
            "mean": {
                metric: mean_interval([float(row[metric] or math.nan) for row in own], bootstrap)
                for metric in (*METRICS, BEST)
            },
        }
    return found
