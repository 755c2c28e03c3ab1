"""What publishing a segmenter and publishing a generator share: where from, where to, and how a
card, a published network's README.md, reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from vesselforge import pretrained
from vesselforge.configs.catalogue import DATASETS
from vesselforge.configs.errors import CheckpointError, ConfigError, WorkspaceError
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.documents import flat, read_object
from vesselforge.engine.files import file_sha256, whole_folder, write_atomic, write_json
from vesselforge.engine.store import Store, whole_artifact
from vesselforge.pipeline.evidence import untrained

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
README = "README.md"


def write_published(
    kind: pretrained.Kind,
    model: Path,
    name: str,
    out: Path,
    force: bool,
    fill: Callable[[Path], dict[str, Any]],
    shipped: bool = True,
) -> Path:
    """Write the folder `out/name`, whole or not at all, and return it.

    fill: writes the files of the model into the folder that it is given, and returns what the card
    says of it. force: replace a published one. shipped: it is to come with the package. Raises
    ConfigError for a name that cannot be or is taken, CheckpointError for a folder that is too
    large to be shipped, and what `fill` raises.
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
        if shipped and size > limit:
            raise CheckpointError(
                f"{model}: {size / 1e6:.2f} MB, expected at most {limit / 1e6:g} MB "
                f"for a {kind} that everybody downloads with the package"
            )
    return folder


def store_of(artifact: Path) -> Store:
    """The store that a finished artifact lies in."""
    return Store(artifact.absolute().parent.parent.parent)


def manifest_of(model: Path, kind: pretrained.Kind) -> dict[str, Any]:
    """The manifest of a finished training. Raises WorkspaceError."""
    stage = f"{kind}.train"
    if not (model / MANIFEST).is_file():
        raise WorkspaceError(
            f"{model}: no {MANIFEST} here; expected the finished artifact of `{kind} train`, "
            "whose card can say how it was made"
        )
    try:
        manifest = whole_artifact(model).manifest
    except WorkspaceError as damage:
        raise WorkspaceError(f"{damage}; train it again") from None
    if manifest["kind"] != stage:
        raise WorkspaceError(f"{model}: is a {manifest['kind']}, expected a {stage}")
    return manifest


def facts_of(manifest: Mapping[str, Any], not_recipe: Collection[str]) -> dict[str, Any]:
    """What every card says of a training. not_recipe: settings that do not belong to its recipe."""
    settings = manifest["settings"]
    return {
        "seed": settings["seed"],
        "recipe": {n: v for n, v in flat(settings, lists=True) if n not in not_recipe},
        "seconds": manifest["seconds"],
        "device": manifest["device"],
        "versions": manifest["versions"],
        "artifact": manifest["digest"],
    }


def images_of(model: Path, inputs: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what it was trained on, settings of that dataset), from the image set of the same store.

    The first has the dataset's name, its content hash, and the image ids of each split. Raises
    WorkspaceError.
    """
    from vesselforge.data.imageset import read_index

    path = store_of(model).folder("data.prepare", inputs.get("images", ""))
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


def source(dataset: str) -> str:
    """What a card says of a dataset."""
    if dataset == "phantom":
        return "phantoms drawn by VesselForge"
    return DATASETS[dataset].licence if dataset in DATASETS else "own images"


def render(card: Mapping[str, Any]) -> str:
    """README.md of a card: for people what it is for programs."""
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
    environment.filters["short"] = lambda value: (
        f"{value:.4g}" if isinstance(value, float) else f"{value}"
    )
    environment.filters["untrained"] = lambda kimg: untrained({"kimg": kimg}, {})
    environment.filters["source"] = source
    environment.filters["columns"] = columns
    return environment.get_template(f"{card['kind']}_card.md.j2").render(card)


def columns(figures: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Figure → its value in each, a dash where there is none; nested ones by dotted names."""
    each = [dict(flat(values)) for values in figures]
    names = dict.fromkeys(name for values in each for name in values)
    return {name: [values.get(name, "–") for values in each] for name in names}
