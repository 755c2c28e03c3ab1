"""Where trained networks are found that a name or a path stands for."""

from __future__ import annotations

from pathlib import Path

from vesselforge import pretrained
from vesselforge.configs.errors import CheckpointError, DataError

PICKLE = b"\x80"
"""First byte of a pickle of protocol 2 or later."""


def shipped_folder(name: str, kind: pretrained.Kind) -> Path:
    """The folder of a network that comes with the package, each file checked. Raises
    CheckpointError for a damaged one, and for a name that none of the kind has."""
    damage = pretrained.damage(name) if name in pretrained.names() else None
    if damage is not None:
        raise CheckpointError(f"{damage}; the installation is damaged: install vesselforge again")
    if name not in pretrained.names(kind):
        raise CheckpointError(
            f"{name}: neither a folder nor a {kind} that comes with VesselForge (there are: "
            f"{shipped_names(kind)}); expected one of those, or a folder as "
            f"`vesselforge {kind} train` writes it"
        )
    return pretrained.folder(name)


def shipped_names(kind: pretrained.Kind) -> str:
    """For messages: `sa-unet-drive, sa-unet-v2-drive`."""
    return ", ".join(pretrained.names(kind)) or "none"


def found_start(start: Path) -> Path:
    """What `generator.start_from` stands for: what lies at that path, or where nothing does, the
    folder of the generator in the box that has this name.

    Raises DataError when that cannot be a generator, CheckpointError when the one in the box is
    damaged. Only the beginning of files is looked at: generator.train reads the whole, safely.
    """
    if not start.exists() and str(start) in pretrained.names("generator"):
        return shipped_folder(str(start), "generator")
    fault = _fault(start)
    if fault:
        raise DataError(
            f"generator.start_from: {start}: {fault}; expected an official .pkl, the folder of a "
            "generator, a .safetensors file of `vesselforge generator export`, or the name of a "
            f"generator that comes with VesselForge (there are: {shipped_names('generator')})"
        )
    return start


def _fault(start: Path) -> str:
    if start.is_dir():
        return "" if (start / "generator.json").is_file() else "no generator.json in it"
    if not start.is_file():
        return "no such file or folder"
    with start.open("rb") as stream:
        head = stream.read(9)
    whole = head[:1] == PICKLE or head[8:] == b"{"
    return "" if whole else "neither pickle nor safetensors"
