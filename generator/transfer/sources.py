"""What a training can start from: an official .pkl, a generator's folder, or one exported file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vesselforge.configs.errors import CheckpointError
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.checkpoints import load_tensors
from vesselforge.engine.files import file_sha256
from vesselforge.generator.checkpoint import OfficialNetwork, OfficialSnapshot, load_official
from vesselforge.generator.models import (
    AVERAGE,
    CRITIC,
    CURRENT,
    DESCRIPTION,
    Kwargs,
    read_description,
)
from vesselforge.generator.networks import Discriminator, Generator

PICKLE = b"\x80"
EXPORTED = "vesselforge generator"
"""What the metadata of an exported .safetensors file says under `format`."""
SLOTS = {"G": CURRENT, "D": CRITIC, "G_ema": AVERAGE}
"""The file of each network in a generator's folder; an exported file has the names as prefixes."""


@dataclass(frozen=True)
class Weights:
    """One network: its constructor arguments, defaults spelled out or not, and all its tensors."""

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


def read_source(path: Path) -> Source:
    """Read whatever `start_from` names; raises CheckpointError for anything else or damaged."""
    if path.is_dir():
        return read_folder(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}; check the path") from error
    if head[8:9] == b"{" and not head.startswith(PICKLE):
        return read_exported(path)
    return from_snapshot(load_official(path), path)


def from_snapshot(snapshot: OfficialSnapshot, path: Path) -> Source:
    """Take the networks of an official snapshot."""
    found: dict[str, OfficialNetwork | None] = {name: getattr(snapshot, name) for name in SLOTS}
    networks = {
        name: Weights(network.build_kwargs(), network.tensors)
        for name, network in found.items()
        if network is not None
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
        name: Weights(_kwargs(description, name), load_tensors(folder / file)[0])
        for name, file in SLOTS.items()
        if (folder / file).is_file()
    }
    if digest is None:
        digest = _digest(folder) or f"folder, SHA-256 {file_sha256(folder / DESCRIPTION)}"
    provenance = {"start": f"generator.train {digest}", **_origin(description)}
    return _whole(folder, networks, provenance)


def _digest(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / MANIFEST).read_text())["digest"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_exported(path: Path) -> Source:
    """Read a .safetensors file of `generator export`."""
    tensors, meta = load_tensors(path)
    try:
        description = json.loads(meta["description"])
        assert meta["format"] == EXPORTED
        networks = {
            name: Weights(_kwargs(description, name), _part(tensors, name))
            for name in SLOTS
            if _part(tensors, name)
        }
    except (KeyError, ValueError, TypeError, AssertionError) as error:
        raise CheckpointError(
            f"{path}: tensors without the description of their networks; expected a file of "
            f"`vesselforge generator export`; of a generator's folder, pass "
            "the folder"
        ) from error
    start = f"exported generator, SHA-256 {file_sha256(path)}"
    return _whole(path, networks, {"start": start, **_origin(description)})


def _part(tensors: dict[str, Tensor], slot: str) -> dict[str, Tensor]:
    start = f"{slot}."
    return {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}


def _kwargs(description: dict[str, Any], slot: str) -> Kwargs:
    return dict(description["discriminator" if slot == "D" else "generator"])


def _origin(description: dict[str, Any]) -> dict[str, Any]:
    """Return the licence trail of weights that began with somebody else's."""
    origin = description.get("provenance", {}).get("origin")
    return {} if origin is None else {"origin": origin}


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
        _check_shapes(where, slot, weights)
    floats = {
        slot: Weights(w.kwargs, {name: t.float() for name, t in w.tensors.items()})
        for slot, w in networks.items()
    }
    return Source(where, floats, provenance, notes)


def kind_of(slot: str) -> type[Generator] | type[Discriminator]:
    """Return the class of a slot's network."""
    return Discriminator if slot == "D" else Generator


def shapes(kind: Callable[..., nn.Module], kwargs: Kwargs) -> dict[str, torch.Size]:
    """Return the shape of each tensor of a network, without making one."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in kind(**kwargs).state_dict().items()}


def _check_shapes(where: Path, slot: str, weights: Weights) -> None:
    """Refuse a network with a tensor missing, unknown or of another shape than it should be."""
    try:
        wanted = shapes(kind_of(slot), weights.kwargs)
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{where}: {slot} has arguments that fit no network of ours ({error})"
        ) from error
    found = {name: tensor.shape for name, tensor in weights.tensors.items()}
    lines = []
    for name in [*wanted, *(found.keys() - wanted.keys())]:
        if found.get(name) != wanted.get(name):
            have = "missing" if name not in found else f"{list(found[name])}"
            want = "nothing" if name not in wanted else f"{list(wanted[name])}"
            lines.append(f"{name} is {have}, expected {want}")
    if lines:
        more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
        raise CheckpointError(
            f"{where}: the tensors of {slot} are not those of its own description: "
            f"{'; '.join(lines[:3])}{more}; get the file anew"
        )
