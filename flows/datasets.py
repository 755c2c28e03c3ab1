"""Datasets as a user names them on the command line: a known name, or a folder of their own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from configs.errors import DataError
from configs.settings import DataSettings

if TYPE_CHECKING:
    from data.datasets import Dataset

NAMES = get_args(DataSettings.model_fields["name"].annotation)


def named_dataset(name: str, root: Path | None = None, pattern: str | None = None) -> Dataset:
    """The dataset of this name, or in this folder. Raises DataError for what is neither."""
    from data.datasets import load_settings

    return load_settings(_settings(name, root, pattern))


def _settings(name: str, root: Path | None, pattern: str | None) -> DataSettings:
    if name in NAMES:
        return DataSettings(name=name, root=root, pattern=pattern)
    if not Path(name).is_dir():
        raise DataError(f"{name}: neither a folder nor a known dataset ({', '.join(NAMES)})")
    return DataSettings(name="paired", root=Path(name), pattern=pattern)
