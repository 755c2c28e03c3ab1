"""Scores of all folds as one: the same as if all images had been scored together."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_writers import marked, phantom, second

from vesselforge.configs.settings import EvaluateSettings, PoolSettings
from vesselforge.data.imageset import LoadedImage, write_png
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.files import write_csv, write_json
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.evaluate import BEST, COUNTS, Scoreboard
from vesselforge.segmenter.metrics.scores import METRICS
from vesselforge.segmenter.pool_folds import pool_folds

RANKED = {"auc", "ap", "betti0_error", "betti1_error"}


def eye(number: int) -> LoadedImage:
    made = phantom(number)
    found = marked(made.mask, made.fov)
    return LoadedImage(f"eye{number}", found.image, found.target, found.fov, {"2nd": second(made)})


def scored(numbers: list[int], models: list[str]) -> Scoreboard:
    """Models that are as good as chance lets them be."""
    board = Scoreboard([eye(number) for number in numbers], EvaluateSettings(bootstrap=100))
    for name in models:
        probs = []
        for number, image in zip(numbers, board.images, strict=True):
            noise = np.random.default_rng([number, len(name)]).normal(0, 0.35, image.fov.shape)
            probs.append((image.reference + noise).clip(0, 1).astype(np.float32))
        threshold = 0.4 + 0.01 * len(numbers)
        rule = {"rule": {"method": "mean", "thresholds": [threshold]}} if name == "ensemble" else {}
        board.add_model(name, probs, [p >= 0.5 for p in probs], {"threshold": threshold} | rule)
    board.add_observers()
    return board


def fold(folder: Path, numbers: list[int], models: list[str], reference: bool = True) -> Artifact:
    """What the evaluation of a fold leaves."""
    board = scored(numbers, models)
    metrics = {"images": len(numbers), "reference": "1st" if reference else None}
    metrics |= {"models": board.models, "observers": board.observers}
    metrics = (
        metrics if reference else metrics | {"note": "no masks", "models": {}, "observers": {}}
    )
    folder.mkdir()
    write_csv(folder / "per_image.csv", [["model", "id", "region", *METRICS, BEST], *board.rows])
    further = [["model", "observer", "id", "region", *METRICS, BEST], *board.further_rows]
    write_csv(folder / "per_image_observers.csv", further)
    write_json(folder / COUNTS, board.counts)
    for image in board.images:
        write_png(folder / "overlays" / models[0] / f"{image.id}.png", image.image)
    manifest = {"kind": "segmenter.evaluate", "digest": folder.name, "metrics": metrics}
    return Artifact(folder, json.loads(json.dumps(manifest)))


def pool(tmp_path: Path, **folds: Artifact) -> dict[str, Any]:
    out = tmp_path / "out"
    out.mkdir()
    pool_folds(PoolSettings(bootstrap=100), folds, out, Progress())
    found: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return found


def test_pooled_scores_are_those_of_all_images_at_once(tmp_path: Path) -> None:
    models = ["teacher", "ensemble"]
    found = pool(
        tmp_path,
        one=fold(tmp_path / "one", [0, 1, 2], models),
        two=fold(tmp_path / "two", [3, 4], [*models, "student-2"]),
    )
    whole = scored([0, 1, 2, 3, 4], models)
    assert (found["images"], found["folds"], found["reference"]) == (5, 2, "1st")
    assert found["models"].keys() == {"teacher", "ensemble"}
    for kind, expected in (("models", whole.models), ("observers", whole.observers)):
        for name, scores in expected.items():
            for region in ("fov", "whole"):
                mine, theirs = found[kind][name][region], scores[region]
                for metric in METRICS:
                    if metric in RANKED:
                        assert mine["pooled"][metric] is None
                    else:
                        assert mine["pooled"][metric] == theirs["pooled"][metric], metric
                    assert mine["mean"][metric] == pytest.approx(theirs["mean"][metric], abs=2e-6)
    assert "threshold" not in found["models"]["teacher"]  # another one in each fold
    assert found["models"]["ensemble"]["rule"] == {"method": "mean"}
    with (tmp_path / "out" / "per_image.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    inside = [(r["model"], r["id"], r["fold"]) for r in rows if r["region"] == "fov"]
    assert len(inside) == len(set(inside)) == 3 * 5
    assert {fold for _, id_, fold in inside if id_ in ("eye3", "eye4")} == {"two"}
    with (tmp_path / "out" / "per_image_observers.csv").open() as stream:
        further = [(r["model"], r["observer"], r["id"]) for r in csv.DictReader(stream)]
    assert {(model, observer) for model, observer, _ in further} == {(m, "2nd") for m in models}
    assert len(further) == 2 * len(set(further)) == 2 * 2 * 5  # in both regions
    pictures = sorted(p.name for p in (tmp_path / "out" / "overlays" / "teacher").iterdir())
    assert pictures == [f"eye{n}.png" for n in range(5)]


def test_folds_without_masks_are_not_scored(tmp_path: Path) -> None:
    found = pool(
        tmp_path,
        one=fold(tmp_path / "one", [0, 1], ["teacher"]),
        two=fold(tmp_path / "two", [2, 3], ["teacher"], reference=False),
    )
    assert found["reference"] is None and found["note"] == "no masks" and not found["models"]
