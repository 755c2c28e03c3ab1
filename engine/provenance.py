"""What a result was made with: versions and device, for the manifest."""

from __future__ import annotations

import contextlib
import sys
from importlib.metadata import PackageNotFoundError, version

from pydantic import BaseModel


def versions() -> dict[str, str]:
    """Versions that matter for a result, without importing the packages."""
    found = {}
    for package in ("vesselforge", "torch", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def device_of(settings: BaseModel) -> str:
    """What the stage that has just run in this process computed on."""
    torch = sys.modules.get("torch")  # a stage that needs no torch has not loaded it
    if torch is None:
        return "CPU"
    if getattr(settings, "device", "auto") != "cpu" and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"CPU, {torch.get_num_threads()} threads"
