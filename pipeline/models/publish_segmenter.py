"""`vesselforge segmenter publish`: a trained segmenter and its scores become a folder to ship."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import CheckpointError, DataError, WorkspaceError
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.documents import read_object
from vesselforge.pipeline.models.publishing import (
    facts_of,
    images_of,
    manifest_of,
    store_of,
    write_published,
)

EVALUATED = (
    "what `vesselforge segmenter evaluate MODEL DATASET --json` prints, with scores of one model"
)
FILES = ("model.json", "model.safetensors")
POINT = ("threshold", "calibration", "components")
"""How masks are made of a model's maps."""
NOT_RECIPE = ("device", "checkpoint_every", "network", "seed", "start_from")


def publish(model: Path, name: str, scores: list[Path], out: Path, force: bool = False) -> Path:
    """Write the folder `out/name`, whole or not at all, from a finished `segmenter.train`.

    scores: files with what `vesselforge segmenter evaluate MODEL DATASET… --json` printed. Raises
    ConfigError, CheckpointError, DataError or WorkspaceError naming what does not fit.
    """

    fill = partial(make_card, model, scores)
    return write_published("segmenter", model, name, out, force, fill)


def make_card(model: Path, scores: list[Path], folder: Path) -> dict[str, Any]:
    """Fill `folder` with the model; return the facts of its card, all from the artifacts."""
    manifest = manifest_of(model, "segmenter")
    if "start" in manifest["inputs"]:
        raise WorkspaceError(
            f"{model}: was trained on from another model; a card describes one training only"
        )
    facts = facts_of_model(model, manifest, folder)
    found = _scores(scores, {name: facts[name] for name in POINT})
    dataset = facts["trained_on"]["dataset"]
    if found.get(dataset, {}).get("split", "test") != "test":
        raise DataError(
            f"--scores: {dataset} was scored on all images, those that the model was trained on "
            "too; expected `segmenter evaluate` of the test images alone"
        )
    return facts | {"scores": found}


def facts_of_model(model: Path, manifest: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Copy a finished `segmenter.train` into `folder`; return what a card says of it, but for its
    scores."""
    description = read_object(model / "model.json", "the description of a model", CheckpointError)
    member, metrics = description["members"][0], manifest["metrics"]
    data, _ = images_of(model, manifest["inputs"])
    for file in FILES:
        shutil.copyfile(model / file, folder / file)
    drawn = synthetic_of(model, manifest["inputs"])
    return (
        ({} if drawn is None else {"synthetic": drawn})
        | {
            "network": member["network"],
            "options": member["options"],
            "parameters": description["parameters"],
            "magnification": description.get("magnification"),
            "threshold": description["threshold"],
            "calibration": {n: member[n] for n in ("temperature", "shift") if n in member},
            "components": description.get("components", {}),
            "trained_on": data,
            "validation": metrics["validation"],
            "step": metrics["best_step"],
            "steps": metrics["steps"],
        }
        | facts_of(manifest, NOT_RECIPE)
    )


def synthetic_of(model: Path, inputs: Mapping[str, str]) -> dict[str, Any] | None:
    """Of the synthetic images that a model was trained on: how many, whose labels, the stage that
    drew them and its settings. None for a model of real images alone. Raises WorkspaceError."""
    if "synthetic" not in inputs:
        return None
    store = store_of(model)
    try:
        labelled = store.need("segmenter.pseudo-label", inputs["synthetic"]).manifest
        digest = labelled["inputs"]["samples"]
        [found] = store.root.glob(f"*/{digest}/{MANIFEST}")
        samples = store.need(found.parent.parent.name, digest).manifest
    except (KeyError, ValueError, WorkspaceError) as error:
        raise WorkspaceError(
            f"{store.root}: the synthetic images that {model} was trained on are not there "
            f"({error}); publish from the workspace in which the model was trained"
        ) from None
    return {
        "images": labelled["metrics"]["kept"],
        "labels": labelled["settings"]["labels"],
        "drawn_by": samples["kind"],
        "settings": {name: value for name, value in samples["settings"].items() if value},
    }


def _scores(paths: list[Path], point: Mapping[str, Any]) -> dict[str, Any]:
    """Dataset → number of images and figures by region, of this very model, whose masks are made
    as `point` says, see `segmenter.evaluate.operating_point`."""
    found: dict[str, Any] = {}
    for path in paths:
        for dataset, metrics in read_object(path, EVALUATED, DataError).items():
            if dataset in found:
                raise DataError(f"{path}: scores on {dataset} were given twice")
            try:
                ((_, scores),) = metrics["models"].items()
                (calibration,) = scores.get("calibration", [{}])
                seen = {
                    "threshold": scores["threshold"],
                    "calibration": calibration,
                    "components": scores.get("components", {}),
                }
                found[dataset] = scores_of(metrics, scores)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(f"{path}: {dataset}: expected {EVALUATED} ({error})") from error
            if seen != point:
                raise DataError(
                    f"{path}: {dataset} was scored at {_words(seen)}, the model has "
                    f"{_words(point)}; these are the scores of another model"
                )
    if not found:
        raise DataError("--scores: no scores in these files; a card without scores says nothing")
    return found


def scores_of(metrics: Mapping[str, Any], scores: Mapping[str, Any]) -> dict[str, Any]:
    """What a card keeps of the scores of one model. metrics: of the whole evaluation."""
    return {
        "images": metrics["images"],
        "split": metrics["split"],
        "flips": metrics.get("flips", False),
        "fov_width": metrics.get("fov_width", "model"),
        "fov": _plain(scores["fov"]),
        "whole": _plain(scores["whole"]),
    }


def _words(point: Mapping[str, Any]) -> str:
    """`threshold 0.4, temperature 1.2, shift 0.1, sure 0.7, smallest 50`."""
    facts = {"threshold": point["threshold"], **point["calibration"], **point["components"]}
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _plain(region: Mapping[str, Any]) -> dict[str, Any]:
    """Pooled figures and [mean, low, high] over images, all that there are."""
    return {
        "pooled": {k: v for k, v in region["pooled"].items() if not isinstance(v, dict | list)},
        "mean": dict(region["mean"]),
    }
