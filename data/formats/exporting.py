"""What both rooms that export to ONNX share."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from vesselforge.configs.errors import ConfigError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_place(out: Path, force: bool) -> None:
    """Raise ConfigError where no ONNX file can be written. force: over one that is there."""
    if out.suffix != ".onnx":
        raise ConfigError(f"{out}: found the ending {out.suffix or 'none'}, expected .onnx")
    if not out.parent.is_dir():
        raise ConfigError(f"{out}: there is no folder {out.parent} to write to")
    if out.is_dir():
        raise ConfigError(f"{out}: found a folder, expected a file; choose another name")
    if out.exists() and not force:
        raise ConfigError(f"{out}: exists already; choose another name, or give --force")


def need_packages() -> None:
    """Raise ConfigError where a package is missing."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"export to ONNX needs {', '.join(missing)}: pip install 'vesselforge[onnx]'"
        )


@contextlib.contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keep back what the exporter says about packages that it could use but does not need."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
