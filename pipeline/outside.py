"""What lies outside the store: networks in the box, and files that work reads, whose content hashes
are part of its address."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from vesselforge import pretrained
from vesselforge.configs.errors import CheckpointError, DataError
from vesselforge.engine.files import file_sha256

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
    if not start.exists():
        fault = "no such file or folder"
    elif start.is_dir():
        fault = "" if (start / "generator.json").is_file() else "no generator.json in it"
    else:
        with start.open("rb") as stream:
            fault = "" if stream.read(1) == PICKLE else "no pickle"
    if fault:
        raise DataError(
            f"generator.start_from: {start}: {fault}; expected an official .pkl, the folder of a "
            "generator, or the name of a generator that comes with VesselForge (there are: "
            f"{shipped_names('generator')})"
        )
    return start


def hash_of(setting: str, path: Path) -> str:
    """Content hash of a file that a setting names; or of a generator's folder, that of its
    description and weights alone, whatever else lies beside them. Raises DataError."""
    try:
        if not path.is_dir():
            return file_sha256(path)
        files = [path / "generator.json", *sorted(path.glob("*.safetensors"))]
        content = {file.name: file_sha256(file) for file in files}
    except OSError as error:
        raise DataError(f"{setting}: {path} cannot be read ({error.strerror})") from error
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
