"""Datasets by name, found on disk or made up. Nothing is decoded before it is asked for."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from vesselforge.configs.base import as_written, expanded
from vesselforge.configs.catalogue import DATASETS, KNOWN_NAMES, NAMED, NAMES, OWN
from vesselforge.configs.errors import ConfigError, DataError
from vesselforge.configs.load import validate
from vesselforge.configs.settings import DataSettings
from vesselforge.data.formats.images import composed
from vesselforge.data.layouts.folders import read_images, read_known, read_paired
from vesselforge.data.layouts.items import Dataset, Item
from vesselforge.data.layouts.roles import STRANGE_NAME, plain_name, sort_files
from vesselforge.data.layouts.splits import deal_fold
from vesselforge.data.phantoms.sets import phantom_items
from vesselforge.engine.documents import is_plain, spelled

NEAREST = 3
"""Identifiers that stand in for an unknown one in a message."""


def load_settings(settings: DataSettings, lenient: bool = False) -> Dataset:
    """The dataset that the settings of a run describe.

    Raises DataError when the folder is missing or holds nothing of that layout, when `exclude`
    names an image that is not there, and unless `lenient` for files that cannot be matched
    (`Dataset.problems` has them); ConfigError where all folds are meant, of which each is a dataset
    of its own.
    """
    name = settings.name
    if settings.is_cross_validated:
        raise ConfigError(
            f"data.folds: {settings.folds}: only `vesselforge run` and `compare` do all of them; "
            f"set data.fold to the one that is meant, 0 to {(settings.folds or 1) - 1}"
        )
    if name == "phantom":
        phantoms = Dataset(name, None, tuple(_phantoms(settings)))
        return _left_out(phantoms, settings.exclude)
    folder = _find_root(name, settings.root)
    if name in DATASETS:
        dataset = read_known(name, DATASETS[name], folder, settings)
    else:
        dataset = (read_paired if name == "paired" else read_images)(folder, settings)
    dataset = _left_out(dataset, settings.exclude)
    if settings.mask_values:
        items = tuple(replace(item, mask_values=settings.mask_values) for item in dataset.items)
        dataset = replace(dataset, items=items)
    first = next((p for p in dataset.problems if p.id is not None), None)
    if first is not None and not lenient:
        raise DataError(str(first))
    if not any(item.image.is_file() for item in dataset.items):
        expected = DATASETS[name].example if name in DATASETS else OWN[name]
        raise DataError(f"{folder}: found no image of {name}, expected {expected}")
    return dataset


def _left_out(dataset: Dataset, exclude: Collection[str]) -> Dataset:
    """The dataset without what is to be left out; composed and decomposed letters are the same."""
    found = {item.id for item in dataset} | {p.id for p in dataset.problems if p.id is not None}
    known = {composed(id_): id_ for id_ in sorted(found)}
    for id_ in exclude:
        if composed(id_) not in known:
            folded = {name.casefold(): name for name in known}
            near = get_close_matches(id_.casefold(), folded, n=NEAREST, cutoff=0.0)
            names = ", ".join(repr(folded[name]) for name in near) or "none"
            raise DataError(
                f"data.exclude: found no image {id_!r} in {dataset.root or dataset.name}; the "
                f"nearest identifiers are {names}: write one of them, or leave it away"
            )
    return dataset.without({known[composed(id_)] for id_ in exclude})


def _phantoms(settings: DataSettings) -> Iterable[Item]:
    items = list(phantom_items(settings.phantom))
    if settings.folds is None:
        return items
    names, share = {item.id: item.id for item in items}, settings.validation_share
    splits = deal_fold(names, settings.fold or 0, settings.folds, share)
    return (replace(item, split=splits[item.id]) for item in items)


def named_dataset(
    name: str,
    root: Path | None = None,
    pattern: str | None = None,
    lenient: bool = False,
    mask_values: Mapping[str, str] | None = None,
) -> Dataset:
    """The dataset that `named_settings` describes; see `load_settings`."""
    return load_settings(named_settings(name, root, pattern, mask_values), lenient)


def named_settings(
    name: str,
    root: Path | None = None,
    pattern: str | None = None,
    mask_values: Mapping[str, str] | None = None,
) -> DataSettings:
    """The settings of the dataset of this name, or in this folder: a labelled set where there are
    masks, or a pattern that matches them, else images alone. Raises DataError for what is neither.

    root: of a name, its folder; default: its usual name under $VESSELFORGE_DATA or ./datasets.
    """
    if pattern is not None and name in NAMED:
        raise DataError(
            f"pattern: found {as_written(pattern)}, and {name} has names of its own; it is for a "
            "folder of yours"
        )
    if name not in NAMES:
        if root is not None:
            raise DataError(
                f"{name}: found a root, {root}, beside what is no known dataset "
                f"({', '.join(NAMED)}); give one of these names, or the folder alone"
            )
        root = Path(name)
        if not root.is_dir():
            raise DataError(f"{name}: neither a folder nor a known dataset ({', '.join(NAMED)})")
        parts = any((root / part).is_dir() for part in ("images", "masks"))
        paired = parts or pattern is not None or sort_files(root).labelled
        name = "paired" if paired else "images"
    values = {"name": name, "root": root, "pattern": pattern, "mask_values": mask_values or {}}
    return validate(DataSettings, values, str(root or name))


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
    return expanded(os.environ.get("VESSELFORGE_DATA") or "datasets")


def _find_root(name: str, root: Path | None) -> Path:
    origin = DATASETS[name].origin if name in DATASETS else f"expected {OWN[name]}"
    if root is not None:
        if not is_plain(str(root)):
            raise DataError(f"{spelled(root)}: {STRANGE_NAME}")
        if not root.is_dir():
            raise DataError(f"{root}: no such dataset folder; {origin}")
        return root
    folder = DATASETS[name].folder if name in DATASETS else name
    base = _data_root()
    for candidate in sorted(base.iterdir()) if base.is_dir() else ():
        if plain_name(candidate.name) == plain_name(folder) and candidate.is_dir():
            return candidate
    raise DataError(
        f"{base / folder}: no such dataset folder; {origin}, or name another place with "
        "data.root or VESSELFORGE_DATA"
    )
