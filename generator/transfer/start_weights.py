"""What a training can start from: an official .pkl, or a generator's folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from vesselforge.configs.errors import CheckpointError
from vesselforge.engine.checkpoints import check_shapes, load_tensors
from vesselforge.engine.files import file_sha256
from vesselforge.generator.checkpoint import OfficialSnapshot
from vesselforge.generator.models import (
    AVERAGE,
    CURRENT,
    DESCRIPTION,
    DISCRIMINATOR,
    Kwargs,
    network_without_memory,
    read_description,
)
from vesselforge.generator.networks import Discriminator, Generator

SLOTS = {"G": CURRENT, "D": DISCRIMINATOR, "G_ema": AVERAGE}
"""The file of each network in a generator's folder."""


@dataclass(frozen=True)
class Weights:
    """One network: its constructor arguments and all its tensors."""

    kwargs: Kwargs
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Source:
    """Networks by slot (G, D, G_ema), whole and of the shapes that their arguments imply.

    G and G_ema are always there, if need be the same; D may lack. `notes` say what lacked.
    """

    where: Path
    networks: dict[str, Weights]
    provenance: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def from_snapshot(snapshot: OfficialSnapshot, path: Path) -> Source:
    """Take the networks of an official snapshot."""
    networks = {
        name: Weights(network.kwargs, network.tensors)
        for name in SLOTS
        if (network := getattr(snapshot, name)) is not None
    }
    provenance = {
        "start": f"official snapshot, SHA-256 {snapshot.sha256}",
        "origin": snapshot.origin,
    }
    return _whole(path, networks, provenance)


def read_folder(folder: Path, digest: str | None = None) -> Source:
    """Read a generator.train artifact, or an imported folder."""
    description = read_description(folder)
    networks = {
        name: Weights(
            description["discriminator" if name == "D" else "generator"],
            load_tensors(folder / file)[0],
        )
        for name, file in SLOTS.items()
        if (folder / file).is_file()
    }
    known = digest or f"folder, SHA-256 {file_sha256(folder / DESCRIPTION)}"
    provenance = {"start": f"generator.train {known}"}
    if origin := (description.get("provenance") or {}).get("origin"):
        provenance["origin"] = origin  # the licence trail of weights that began with others'
    return _whole(folder, networks, provenance)


def _whole(where: Path, networks: dict[str, Weights], provenance: dict[str, Any]) -> Source:
    notes = []
    if not networks.keys() & {"G", "G_ema"}:
        raise CheckpointError(
            f"{where}: holds no generator, only {', '.join(networks) or 'nothing'}; "
            "expected G_ema, the network to sample from"
        )
    for slot, other in (("G", "G_ema"), ("G_ema", "G")):
        if slot not in networks:
            networks[slot] = networks[other]
            notes.append(f"{slot} is not in it: {other} stands in")
    if "D" not in networks:
        notes.append("D is not in it: starts from random weights")
    for slot, weights in networks.items():
        empty = network_without_memory(kind_of(slot), weights.kwargs, where)
        check_shapes(empty, weights.tensors, where)
    floats = {
        slot: Weights(w.kwargs, {name: t.float() for name, t in w.tensors.items()})
        for slot, w in networks.items()
    }
    return Source(where, floats, provenance, notes)


def kind_of(slot: str) -> type[Generator] | type[Discriminator]:
    """Return the class of a slot's network."""
    return Discriminator if slot == "D" else Generator
