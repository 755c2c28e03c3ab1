"""What publishing a segmenter and publishing a generator share: where from, and where to."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from vesselforge import pretrained
from vesselforge.configs.errors import CheckpointError, ConfigError, WorkspaceError
from vesselforge.engine.artifacts import MANIFEST, read_artifact
from vesselforge.engine.confined import plain_name
from vesselforge.engine.documents import read_object
from vesselforge.engine.files import file_sha256, write_atomic, write_json
from vesselforge.engine.folders import whole_folder
from vesselforge.engine.store import Store
from vesselforge.pipeline.models.cards import render

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
README = "README.md"


def write_published(
    kind: pretrained.Kind,
    model: Path,
    name: str,
    out: Path,
    force: bool,
    fill: Callable[[Path], dict[str, Any]],
) -> Path:
    """Write the folder `out/name`, whole or not at all, and return it.

    fill: writes the files of the model into the folder that it is given, and returns what the card
    says of it. force: replace a published one. Raises ConfigError for a name that cannot be or is
    taken, CheckpointError for a folder that is too large, and what `fill` raises.
    """
    if not NAME.fullmatch(name):
        raise ConfigError(f"name: found {name!r}, expected a-z, 0-9 and single dashes")
    folder = out / name
    if folder.exists() and not (force and (folder / pretrained.CARD).is_file()):
        raise ConfigError(f"{folder}: exists; choose another name, or give --force for a model")
    with whole_folder(folder) as aside:
        card = {"kind": kind, "name": name} | fill(aside)
        write_atomic(aside / README, render(card))
        files = {path.name: file_sha256(path) for path in sorted(aside.iterdir())}
        write_json(aside / pretrained.CARD, card | {"files": files})
        size = sum(path.stat().st_size for path in aside.iterdir())
        limit = pretrained.LIMITS[kind]
        if size > limit:
            raise CheckpointError(
                f"{model}: {size / 1e6:.2f} MB, expected at most {limit / 1e6:g} MB "
                f"for a {kind} that everybody downloads with the package"
            )
    return folder


def manifest_of(model: Path, kind: pretrained.Kind) -> dict[str, Any]:
    """The manifest of a finished training. Raises WorkspaceError."""
    stage = f"{kind}.train"
    if not (model / MANIFEST).is_file():
        raise WorkspaceError(
            f"{model}: no {MANIFEST} here; expected the finished artifact of `{kind} train`, "
            "whose card can say how it was made"
        )
    damage = Store.damage(model)
    if damage is not None:
        raise WorkspaceError(f"{damage}; train it again")
    manifest = read_artifact(model).manifest
    if manifest["kind"] != stage:
        raise WorkspaceError(f"{model}: is a {manifest['kind']}, expected a {stage}")
    return manifest


def facts_of(manifest: Mapping[str, Any], not_recipe: Collection[str]) -> dict[str, Any]:
    """What every card says of a training. not_recipe: settings that do not belong to its recipe."""
    settings = manifest["settings"]
    return {
        "seed": settings["seed"],
        "recipe": {name: value for name, value in _dotted(settings) if name not in not_recipe},
        "seconds": manifest["seconds"],
        "device": manifest["device"],
        "versions": manifest["versions"],
        "artifact": manifest["digest"],
    }


def _dotted(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as dotted names."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def images_of(model: Path, inputs: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what it was trained on, settings of that dataset), from the image set of the same store.

    The first has the dataset's name, its content hash, and the image ids of each split. Raises
    WorkspaceError.
    """
    from vesselforge.data.imageset import read_index

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
    data = manifest["settings"]["data"]
    content = {"dataset": data["name"], "content": manifest["inputs"].get("dataset")}
    return content | splits, data
