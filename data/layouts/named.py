"""Datasets as a user names them on the command line: a known name, or a folder of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from vesselforge.configs.errors import DataError
from vesselforge.configs.load import validate
from vesselforge.configs.settings import DataSettings

if TYPE_CHECKING:
    from vesselforge.data.datasets import Dataset

KNOWN = ("drive", "chase-db1", "stare")
"""Datasets that have a usual place."""
NAMES = get_args(DataSettings.model_fields["name"].annotation)


def named_dataset(
    name: str, root: Path | None = None, pattern: str | None = None, labels: str = "auto"
) -> Dataset:
    """The dataset of this name, or in this folder. Raises DataError for what is neither."""
    from vesselforge.data.datasets import load_settings

    return load_settings(_settings(name, root, pattern, labels))


def place_of(name: str) -> Path:
    """Where the dataset of this name is looked for, or the folder itself."""
    from vesselforge.data.datasets import data_root
    from vesselforge.data.layouts.paired import LAYOUTS

    if name in ("paired", "images", "phantom"):
        raise DataError(
            f"{name}: has no place of its own, expected {', '.join(KNOWN)}, or the path of the "
            "folder to make"
        )
    return data_root() / LAYOUTS[name].folder if name in KNOWN else Path(name)


def _settings(name: str, root: Path | None, pattern: str | None, labels: str) -> DataSettings:
    """A folder with images/ or masks/ in it is a labelled set, another one images alone."""
    if name not in NAMES:
        folder = root = Path(name)
        if not folder.is_dir():
            raise DataError(f"{name}: neither a folder nor a known dataset ({', '.join(NAMES)})")
        paired = (folder / "images").is_dir() or (folder / "masks").is_dir()
        name = "paired" if paired else "images"
    values = {"name": name, "root": root, "pattern": pattern, "labels": labels}
    return validate(DataSettings, values, "data check")
