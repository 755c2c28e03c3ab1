"""`vesselforge generator publish`: a trained generator becomes a folder to ship and start from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import FiniteFloat

from vesselforge.configs.errors import DataError
from vesselforge.engine.documents import read_valid
from vesselforge.pipeline.models.history import datasets, history
from vesselforge.pipeline.models.publishing import source, write_published

if TYPE_CHECKING:
    from vesselforge.generator.networks import Generator

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
