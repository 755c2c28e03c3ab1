"""Models that come with the package, by name; and how a trained one becomes one of them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from configs.errors import CheckpointError, ConfigError, DataError, WorkspaceError
from data.confined import plain_name
from data.documents import read_object
from data.files import file_sha256, write_atomic, write_json
from data.folders import whole_folder
from data.store import MANIFEST, Store, read_artifact

FILES = ("model.json", "model.safetensors")
README = "README.md"
NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
NOT_RECIPE = ("device", "processes", "checkpoint_every", "network", "seed")
DATASETS = {
    "drive": "DRIVE (Staal et al. 2004), drive.grand-challenge.org; for research",
    "chase-db1": "CHASE_DB1 (Fraz et al. 2012), CC BY 4.0",
    "stare": "STARE (Hoover et al. 2000), cecas.clemson.edu/~ahoover/stare; for research",
    "phantom": "phantoms drawn by VesselForge",
}


def shipped_folder(name: str) -> Path:
    """The folder of a shipped model, each file checked. Raises CheckpointError."""
    import pretrained

    if name not in pretrained.names():
        known = ", ".join(pretrained.names()) or "none"
        raise CheckpointError(
            f"{name}: neither a folder nor a model that comes with VesselForge (there are: {known})"
            "; expected one of those, or a folder as `vesselforge segmenter train` writes it"
        )
    damage = pretrained.damage(name)
    if damage is not None:
        raise CheckpointError(f"{damage}; the installation is damaged: install vesselforge again")
    return pretrained.folder(name)


def model_rows() -> list[dict[str, Any]]:
    """One row for each shipped model; scores are those on the test images of its own dataset."""
    import pretrained

    return [_row(name, pretrained.card(name), pretrained.size(name)) for name in pretrained.names()]


def _row(name: str, card: Mapping[str, Any], size: int) -> dict[str, Any]:
    data = card["trained_on"]
    pooled = card["scores"].get(data["dataset"], {}).get("fov", {}).get("pooled", {})
    return {
        "name": name,
        "network": card["network"],
        "parameters": card["parameters"],
        "trained on": f"{data['dataset']}, {len(data['train'])} images",
        "seed": card["seed"],
        "F1": pooled.get("f1"),
        "AUC": pooled.get("auc"),
        "MB": round(size / 1e6, 2),
    }


def publish(model: Path, name: str, scores: list[Path], out: Path, force: bool = False) -> Path:
    """Write the folder `out/name`, whole or not at all, from a finished `segmenter.train`.

    scores: files with what `vesselforge segmenter evaluate MODEL DATASET… --json` printed. Raises
    ConfigError, CheckpointError, DataError or WorkspaceError naming what does not fit.
    """
    import pretrained

    if not NAME.fullmatch(name):
        raise ConfigError(f"name: found {name!r}, expected a-z, 0-9 and single dashes")
    folder = out / name
    if folder.exists() and not (force and (folder / pretrained.CARD).is_file()):
        raise ConfigError(f"{folder}: exists; choose another name, or give --force for a model")
    card = make_card(model, name, scores)
    with whole_folder(folder) as aside:
        for file in FILES:
            shutil.copyfile(model / file, aside / file)
        write_atomic(aside / README, _render(card))
        files = {file: file_sha256(aside / file) for file in (*FILES, README)}
        write_json(aside / pretrained.CARD, card | {"files": files})
        size = sum(path.stat().st_size for path in aside.iterdir())
        if size > pretrained.LIMIT:
            raise CheckpointError(
                f"{model}: {size / 1e6:.2f} MB, expected at most {pretrained.LIMIT / 1e6:g} MB "
                "for a model that everybody downloads with the package"
            )
    return folder


def make_card(model: Path, name: str, scores: list[Path]) -> dict[str, Any]:
    """The facts of the model card, all from the artifacts themselves."""
    manifest = _manifest(model)
    description = read_object(model / "model.json", "the description of a model", CheckpointError)
    member, settings = description["members"][0], manifest["settings"]
    data = _trained_on(model, manifest["inputs"])
    found = _scores(scores, description["threshold"])
    if found.get(data["dataset"], {}).get("split", "test") != "test":
        raise DataError(
            f"--scores: {data['dataset']} was scored on all images, those that the model was "
            "trained on too; expected `segmenter evaluate` of the test images alone"
        )
    return {
        "name": name,
        "network": member["network"],
        "options": member["options"],
        "parameters": description["parameters"],
        "threshold": description["threshold"],
        "trained_on": data,
        "seed": settings["seed"],
        "recipe": {k: v for k, v in _recipe(settings) if k not in NOT_RECIPE},
        "validation": manifest["metrics"]["validation"],
        "step": manifest["metrics"]["best_step"],
        "steps": manifest["metrics"]["steps"],
        "seconds": manifest["seconds"],
        "device": manifest["device"],
        "versions": manifest["versions"],
        "artifact": manifest["digest"],
        "scores": found,
    }


def _recipe(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as dotted names."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _recipe(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _manifest(model: Path) -> dict[str, Any]:
    if not (model / MANIFEST).is_file():
        raise WorkspaceError(
            f"{model}: no {MANIFEST} here; expected the finished artifact of `segmenter train`, "
            "whose card can say how it was made"
        )
    damage = Store.damage(model)
    if damage is not None:
        raise WorkspaceError(f"{damage}; train it again")
    manifest = read_artifact(model).manifest
    if manifest["kind"] != "segmenter.train":
        raise WorkspaceError(f"{model}: is a {manifest['kind']}, expected a segmenter.train")
    if "start" in manifest["inputs"]:
        raise WorkspaceError(
            f"{model}: was trained on from another model; a card describes one training only"
        )
    return manifest


def _trained_on(model: Path, inputs: Mapping[str, str]) -> dict[str, Any]:
    """Dataset, image ids by split, and the content hash, from the image set of the same store."""
    from data.imageset import read_index

    images = plain_name(inputs.get("images"), f"{model / MANIFEST}: inputs.images")
    path = model.absolute().parent.parent / "data.prepare" / images
    if not (path / MANIFEST).is_file():
        raise WorkspaceError(
            f"{path}: the images that {model} was trained on are not in its store; expected a "
            "prepared dataset there (publish from the workspace in which the model was trained)"
        )
    manifest = read_object(path / MANIFEST, "the manifest of a prepared dataset")
    splits = {
        split: sorted(record.id for record in read_index(path, split))
        for split in ("train", "validation")
    }
    dataset = manifest["settings"]["data"]["name"]
    return {"dataset": dataset, "content": manifest["inputs"].get("dataset")} | splits


def _scores(paths: list[Path], threshold: float) -> dict[str, Any]:
    """Dataset → number of images and figures by region, of this very model."""
    found: dict[str, Any] = {}
    for path in paths:
        try:
            content = json.loads(path.read_text())
            for dataset, metrics in content.items():
                ((_, scores),) = metrics["models"].items()
                regions = {region: _plain(scores[region]) for region in ("fov", "whole")}
                if dataset in found:
                    raise DataError(f"{path}: scores on {dataset} were given twice")
                if scores["threshold"] != threshold:
                    raise DataError(
                        f"{path}: {dataset} was scored at threshold {scores['threshold']}, the "
                        f"model has {threshold}; these are the scores of another model"
                    )
                facts = {
                    "images": metrics["images"],
                    "split": metrics["split"],
                    "flips": metrics.get("flips", False),
                    "fov_width": metrics.get("fov_width"),
                }
                found[dataset] = facts | regions
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{path}: expected what `vesselforge segmenter evaluate MODEL DATASET --json` "
                f"prints, with scores of one model ({error})"
            ) from error
    if not found:
        raise DataError("--scores: no scores in these files; a card without scores says nothing")
    return found


def _plain(region: Mapping[str, Any]) -> dict[str, Any]:
    """Pooled figures and [mean, low, high] over images, all that there are."""
    return {
        "pooled": {k: v for k, v in region["pooled"].items() if not isinstance(v, dict | list)},
        "mean": dict(region["mean"]),
    }


def _render(card: Mapping[str, Any]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (Markdown, for people who read the source)
    )
    environment.filters["four"] = lambda value: "–" if value is None else f"{value:.4f}"
    template = environment.get_template("model_card.md.j2")
    return template.render(card, dataset=DATASETS.get(card["trained_on"]["dataset"], "own images"))
