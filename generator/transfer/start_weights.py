"""What a training can start from: an official .pkl, or a generator's folder. `generator import`
makes such a folder of a .pkl.

It is good for all that a trained generator is good for: drawing, scoring, export, `start_from`.
Weights keep the licence of who released them; it is written into the folder and goes on into
whatever is trained from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import CheckpointError
from vesselforge.engine.checkpoints import check_weights, load_tensors, save_tensors
from vesselforge.engine.files import file_sha256, refuse_to_overwrite, whole_folder, write_json
from vesselforge.generator.checkpoint import OfficialSnapshot, Weights, load_official
from vesselforge.generator.networks import Discriminator, Generator, count_parameters
from vesselforge.generator.trained import (
    AVERAGE,
    CURRENT,
    DESCRIPTION,
    DISCRIMINATOR,
    network_without_memory,
    read_description,
)
from vesselforge.generator.values import Channels

SLOTS = {"G": CURRENT, "D": DISCRIMINATOR, "G_ema": AVERAGE}
"""The file of each network in a generator's folder."""


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
    networks = {slot: found for slot in SLOTS if (found := getattr(snapshot, slot)) is not None}
    start = f"official snapshot, SHA-256 {snapshot.sha256}"
    return _whole(path, networks, {"start": start, "origin": snapshot.origin})


def read_folder(folder: Path, digest: str | None = None) -> Source:
    """Read a generator.train artifact, or an imported folder."""
    description = read_description(folder)
    arguments = dict.fromkeys(SLOTS, description["generator"])
    arguments["D"] = description.get("discriminator", {})
    networks = {
        slot: Weights(arguments[slot], load_tensors(folder / file)[0])
        for slot, file in SLOTS.items()
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
        check_weights(empty, weights.tensors, where)
        if slot != "D" and "mapping.w_avg" not in weights.tensors:
            raise CheckpointError(
                f"{where}: {slot} keeps no w_avg, the mean that psi needs; use a snapshot with it"
            )
    floats = {
        slot: Weights(w.kwargs, {name: t.float() for name, t in w.tensors.items()})
        for slot, w in networks.items()
    }
    return Source(where, floats, provenance, notes)


def kind_of(slot: str) -> type[Generator] | type[Discriminator]:
    """Return the class of a slot's network."""
    return Discriminator if slot == "D" else Generator


def import_official(path: Path, out: Path, force: bool = False) -> dict[str, Any]:
    """Write the folder `out`, whole or not at all, and return what is in it.

    force: replace an earlier generator folder. Raises CheckpointError for a file that is no
    official snapshot or that holds no generator, ConfigError when `out` is in the way.
    """
    refuse_to_overwrite(out, "generator", [DESCRIPTION], force)
    snapshot = load_official(path)
    source = from_snapshot(snapshot, path)
    # G may stand in for G_ema: a folder without G_ema could not be drawn from.
    present = [slot for slot in SLOTS if slot == "G_ema" or getattr(snapshot, slot) is not None]
    description = _describe(snapshot, source, path)
    rows = []
    with whole_folder(out) as aside:
        for slot in present:
            weights = source.networks[slot]
            save_tensors(aside / SLOTS[slot], weights.tensors)
            count = count_parameters(kind_of(slot)(**weights.kwargs))
            rows.append({"network": slot, "file": SLOTS[slot], "parameters": count})
        write_json(aside / DESCRIPTION, description)
    return {
        "folder": str(out),
        "networks": rows,
        "notes": source.notes,
        "resolution": description["resolution"],
        "channels": description["channels"]["count"],
        "label_length": description["generator"]["c_dim"],
        "origin": snapshot.origin,
    }


def _describe(snapshot: OfficialSnapshot, source: Source, path: Path) -> dict[str, Any]:
    kwargs = source.networks["G_ema"].kwargs
    if source.networks["G"].kwargs != kwargs:
        raise CheckpointError(
            f"{path}: G and G_ema are built differently; expected an average of the same network"
        )
    count = kwargs["img_channels"]
    if count not in (1, 3):
        raise CheckpointError(f"{path}: draws images of {count} channels; expected grey or RGB")
    kimg = re.search(r"network-snapshot-(\d+)$", path.stem)
    discriminator = source.networks.get("D")
    return {
        "generator": kwargs,
        "discriminator": {} if discriminator is None else discriminator.kwargs,
        "presentation": "full",
        "resolution": kwargs["img_resolution"],
        "channels": vars(Channels("grey" if count == 1 else "rgb", count)),
        "labels": None,
        "native_size": None,
        "fov": None,
        "provenance": source.provenance,
        "training": {"kimg": None if kimg is None else int(kimg[1])},
        "training_set": snapshot.training_set,
    }
