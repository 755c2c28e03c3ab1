"""`vesselforge generator publish`: a trained generator becomes a folder to ship and start from. Its
card tells all that the weights have seen: its trainings, from random weights to the last."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from vesselforge import pretrained
from vesselforge.configs.errors import CheckpointError, DataError, WorkspaceError
from vesselforge.configs.settings import PhantomSettings
from vesselforge.data.prepare import phantom_version
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.documents import read_object, read_valid
from vesselforge.pipeline.evidence import STARTS
from vesselforge.pipeline.models.publishing import (
    facts_of,
    images_of,
    manifest_of,
    source,
    store_of,
    write_published,
)
from vesselforge.pipeline.record import hash_of

if TYPE_CHECKING:
    from vesselforge.generator.networks import Generator

DESCRIPTION = "generator.json"
NOT_RECIPE = ("device", "processes", "checkpoint_every", "start_from", "seed")
SAMPLES = "samples.png"
PSI = 0.7
"""Truncation of the samples shown: what `sample.psi` is by default."""
OF_PHANTOMS = "Apache-2.0, weights and samples too: phantoms are drawn, and show nobody"
OF_DATA = "the code is Apache-2.0; weights follow the data they were trained on"
Figures = dict[str, dict[str, int | FiniteFloat | str]]
"""Heading → figure → value."""


def publish(
    generator: Path, name: str, out: Path, figures: Path | None = None, force: bool = False
) -> Path:
    """Write the folder `out/name`, whole or not at all, from a finished `generator.train`.

    figures: JSON file of further figures for the card, {heading: {figure: value}}. Raises
    ConfigError, CheckpointError, DataError or WorkspaceError naming what does not fit.
    """

    fill = partial(make_card, generator, name, figures)
    return write_published("generator", generator, name, out, force, fill)


def make_card(generator: Path, name: str, figures: Path | None, folder: Path) -> dict[str, Any]:
    """Fill `folder` with networks, description and samples; return the facts of the card."""
    expected = 'an object of objects, {"F1 on DRIVE": {"real": 0.79, "both": 0.8}}'
    further = {} if figures is None else read_valid(figures, Figures, expected, DataError)
    trainings = history(generator)
    from vesselforge.generator.compact import compact
    from vesselforge.generator.networks import count_parameters
    from vesselforge.generator.trained import load_discriminator, load_generator

    seen = datasets(trainings)
    drawn, named = list(seen) == ["phantom"], "; ".join(map(source, seen))
    origin = f"{name} of VesselForge, trained on {named}; generator.train {trainings[-1].artifact}"
    half = compact(generator, folder, origin)
    network, description = load_generator(folder)
    return {
        "resolution": description["resolution"],
        "channels": description["channels"]["kind"],
        "presentation": description["presentation"],
        "latent": network.z_dim,
        "parameters": {
            "generator": count_parameters(network),
            "discriminator": count_parameters(load_discriminator(folder)),
        },
        "trained_on": seen,
        "kimg": round(sum(training.kimg for training in trainings), 6),
        "trainings": [training.model_dump(mode="json") for training in trainings],
        "figures": further,
        "float16": half,
        "samples": _draw_samples(folder, network, description) if drawn else None,
        "licence": OF_PHANTOMS if drawn else f"{OF_DATA}: {named}",
    }


def _draw_samples(
    folder: Path, network: Generator, description: Mapping[str, Any]
) -> dict[str, Any]:
    """Write a sheet of samples. Only of generators that have seen no photograph: a sample may be
    close to a training image, which is somebody's."""
    from vesselforge.data.imageset import write_png
    from vesselforge.generator.sampling.sampler import sample_grid

    grid = sample_grid(network, 0, description["labels"], PSI)
    write_png(folder / SAMPLES, grid)
    return {"file": SAMPLES, "psi": PSI, "first_seed": 0}


class Seen(BaseModel):
    """Images of one training. content: hash of the dataset; phantom: how to draw them again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    content: str | None
    train: int
    validation: int
    phantom: dict[str, int | None] | None = None


class Training(BaseModel):
    """One training. kimg: what the delivered weights saw in it; trained_kimg: how long it was;
    r1_gamma: the weight of R1 at its end, be it set or by the rule."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    artifact: str
    trained_on: Seen
    kimg: float
    trained_kimg: float
    r1_gamma: float
    scores: dict[str, Any]
    scored_by: dict[str, Any] | None
    recipe: dict[str, Any]
    seed: int
    seconds: float
    device: str
    versions: dict[str, str]


class Card(BaseModel):
    """What the card of a published generator says of its trainings, oldest first."""

    trainings: list[Training] = Field(min_length=1)


def history(model: Path) -> list[Training]:
    """The trainings behind a finished `generator.train`, oldest first. Raises WorkspaceError, for
    weights whose beginning is not known too, and CheckpointError."""
    found, manifest = [], manifest_of(model, "generator")
    if manifest["inputs"].keys() & set(STARTS):
        found = _before(model, manifest)
    return [*found, _training(model, manifest)]


def datasets(trainings: list[Training]) -> dict[str, list[int]]:
    """Dataset → numbers of training images, those that were used again counted once."""
    found: dict[str, list[int]] = {}
    for seen in {t.trained_on.content: t.trained_on for t in trainings}.values():
        found.setdefault(seen.dataset, []).append(seen.train)
    return found


def read_trainings(folder: Path) -> list[Training]:
    """The history on the card of a published generator. Raises CheckpointError."""
    expected = "the history that `vesselforge generator publish` writes"
    return read_valid(folder / pretrained.CARD, Card, expected, CheckpointError).trainings


def _before(model: Path, manifest: Mapping[str, Any]) -> list[Training]:
    """The history of the weights that a training began with."""
    store, inputs = store_of(model), manifest["inputs"]
    if "start" in inputs:
        return history(store.folder("generator.train", inputs["start"]))
    start = Path(manifest["settings"].get("start_from") or "other weights")
    box = [pretrained.folder(name) for name in pretrained.names("generator")]
    # A workspace, or the box, may have moved.
    for place in (start, model.with_name(start.name), *box):
        described = (place / DESCRIPTION).is_file()
        if described and hash_of("start_from", place) == inputs["start_from"]:
            if (place / pretrained.CARD).is_file():
                return read_trainings(place)
            if (place / MANIFEST).is_file():
                return history(place)
    for place in box:  # it may have taken the place of what it began with
        trainings = read_trainings(place)
        digests = [training.artifact for training in trainings]
        if manifest["digest"] in digests[1:]:
            return trainings[: digests.index(manifest["digest"])]
    raise WorkspaceError(
        f"{model}: was trained on from {start}, which is no training of its workspace and no "
        "published generator with these weights, so that their data and licence are not known; "
        "a card has to name both"
    )


def _training(model: Path, manifest: Mapping[str, Any]) -> Training:
    description = read_object(model / DESCRIPTION, "the description of a generator")
    trained, delivered = description["training"], description["delivered"]
    images, data = images_of(model, manifest["inputs"])
    drawn = None
    if images["dataset"] == "phantom":
        version = phantom_version(PhantomSettings(**data["phantom"]), images["content"])
        drawn = {**data["phantom"], "version": version}
    counts = {split: len(images[split]) for split in ("train", "validation")}
    return Training(
        trained_on=Seen(**images | counts, phantom=drawn),
        kimg=delivered["kimg"],
        trained_kimg=trained["kimg"],
        r1_gamma=trained["r1_gamma"],
        scores={k: v for k, v in delivered.items() if k not in ("step", "kimg", "file")},
        scored_by=description["scored_by"],
        **facts_of(manifest, NOT_RECIPE),
    )
