"""Datasets by name, found on disk or made up. Nothing is decoded before it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from vesselforge.configs.catalogue import DATASETS, KNOWN_NAMES, NAMES, OWN
from vesselforge.configs.errors import ConfigError, DataError
from vesselforge.configs.load import validate
from vesselforge.configs.settings import DataSettings
from vesselforge.data.formats.archives import alike
from vesselforge.data.layouts.folders import read_images, read_known, read_paired
from vesselforge.data.layouts.items import Dataset, Item
from vesselforge.data.layouts.splits import deal_fold
from vesselforge.data.phantoms.sets import phantom_items


def load_settings(settings: DataSettings, lenient: bool = False) -> Dataset:
    """The dataset that the settings of a run describe.

    Raises DataError when the folder is missing or holds nothing of that layout, and unless
    `lenient` for files that cannot be matched (`Dataset.problems` has them); ConfigError where all
    folds are meant, of which each is a dataset of its own.
    """
    name = settings.name
    if settings.is_cross_validated:
        raise ConfigError(
            f"data.folds: {settings.folds}: only `vesselforge run` does all of them; set data.fold "
            f"to the one that is meant, 0 to {(settings.folds or 1) - 1}"
        )
    if name == "phantom":
        return Dataset(name, None, tuple(_phantoms(settings))).without(settings.exclude)
    folder = _find_root(name, settings.root)
    if name in DATASETS:
        dataset = read_known(name, DATASETS[name], folder, settings)
    else:
        dataset = (read_paired if name == "paired" else read_images)(folder, settings)
    dataset = dataset.without(settings.exclude)
    first = next((p for p in dataset.problems if p.id is not None), None)
    if first is not None and not lenient:
        raise DataError(str(first))
    if not any(item.image.is_file() for item in dataset.items):
        expected = DATASETS[name].example if name in DATASETS else OWN[name]
        raise DataError(f"{folder}: found no image of {name}, expected {expected}")
    return dataset


def _phantoms(settings: DataSettings) -> Iterable[Item]:
    items = list(phantom_items(settings.phantom))
    if settings.folds is None:
        return items
    names, share = {item.id: item.id for item in items}, settings.validation_share
    splits = deal_fold(names, settings.fold or 0, settings.folds, share)
    return (replace(item, split=splits[item.id]) for item in items)


def named_dataset(
    name: str, root: Path | None = None, pattern: str | None = None, lenient: bool = False
) -> Dataset:
    """The dataset of this name, or in this folder: with images/ or masks/ in it a labelled set,
    else images alone; see `load_settings`. Raises DataError for what is neither.

    root: its folder; default: its usual name under $VESSELFORGE_DATA or ./datasets.
    """
    if name not in NAMES:
        root = Path(name)
        if not root.is_dir():
            raise DataError(f"{name}: neither a folder nor a known dataset ({', '.join(NAMES)})")
        paired = (root / "images").is_dir() or (root / "masks").is_dir()
        name = "paired" if paired else "images"
    values = {"name": name, "root": root, "pattern": pattern}
    return load_settings(validate(DataSettings, values, "data check"), lenient)


def place_of(name: str) -> Path:
    """Where the dataset of this name is looked for, or the folder itself."""
    if name in NAMES and name not in DATASETS:
        raise DataError(
            f"{name}: has no place of its own, expected {KNOWN_NAMES}, or the path of the folder "
            "to make"
        )
    return _data_root() / DATASETS[name].folder if name in DATASETS else Path(name)


def _data_root() -> Path:
    """Where datasets lie when nothing else is said."""
    return Path(os.environ.get("VESSELFORGE_DATA") or "datasets")


def _find_root(name: str, root: Path | None) -> Path:
    origin = DATASETS[name].origin if name in DATASETS else f"expected {OWN[name]}"
    if root is not None:
        if not root.is_dir():
            raise DataError(f"{root}: no such dataset folder; {origin}")
        return root
    folder = DATASETS[name].folder if name in DATASETS else name
    base = _data_root()
    for candidate in sorted(base.iterdir()) if base.is_dir() else ():
        if alike(candidate.name, folder) and candidate.is_dir():
            return candidate
    raise DataError(
        f"{base / folder}: no such dataset folder; {origin}, or name another place with "
        "data.root or VESSELFORGE_DATA"
    )
