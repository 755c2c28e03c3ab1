"""`generator import`: an official .pkl becomes a folder like that of a finished training.

Networks become safetensors, all else JSON. The folder is good for all that a trained generator is
good for: drawing, scoring, export, `start_from`. Weights keep the licence of who released them;
it is written into the folder and goes on into whatever is trained from it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import CheckpointError, ConfigError
from vesselforge.data.formats.channels import Channels
from vesselforge.engine.checkpoints import save_tensors
from vesselforge.engine.files import write_json
from vesselforge.engine.folders import whole_folder
from vesselforge.generator.checkpoint import OfficialSnapshot, load_official
from vesselforge.generator.models import AVERAGE, DESCRIPTION
from vesselforge.generator.networks import count_parameters
from vesselforge.generator.transfer.start_weights import SLOTS, Source, from_snapshot, kind_of


def import_official(path: Path, out: Path, force: bool = False) -> dict[str, Any]:
    """Write the folder `out`, whole or not at all, and return what is in it.

    force: replace an earlier generator folder. Raises CheckpointError for a file that is no
    official snapshot or that holds no generator, ConfigError when `out` is in the way.
    """
    _refuse_to_overwrite(out, force)
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
        "channels": Channels("grey" if count == 1 else "rgb", count).to_json(),
        "labels": None,
        "native_size": None,
        "fov": None,
        "provenance": source.provenance,
        "training": {"kimg": None if kimg is None else int(kimg[1])},
        "training_set": snapshot.training_set,
    }


def _refuse_to_overwrite(out: Path, force: bool) -> None:
    if not out.exists() and not out.is_symlink():
        return
    ours = out.is_dir() and ((out / DESCRIPTION).is_file() or not any(out.iterdir()))
    if not ours:
        raise ConfigError(f"{out}: exists and is no generator's folder; choose another name")
    if not force and (out / AVERAGE).is_file():
        raise ConfigError(f"{out}: holds a generator already; choose another name, or give --force")
