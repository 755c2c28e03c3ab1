"""Datasets by name, found on disk or made up.

Nothing is decoded before it is asked for; how files become items is in `data.layouts.paired`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings, PhantomSettings
from vesselforge.data.layouts.items import Dataset, Item, PhantomItem
from vesselforge.data.layouts.paired import LAYOUTS
from vesselforge.data.layouts.splits import SPLITS
from vesselforge.data.phantoms.dataset import phantom_names

__all__ = ["Dataset", "Item", "PhantomItem", "data_root", "load", "load_settings"]


def load(
    name: str,
    root: Path | str | None = None,
    settings: DataSettings | None = None,
    lenient: bool = False,
) -> Dataset:
    """The dataset `name`: drive, chase-db1, stare, paired or phantom.

    root: its folder; default: its usual name under $VESSELFORGE_DATA or ./datasets.
    settings: fold, pattern, shares, phantom sizes, what to exclude; defaults where absent.
    Raises DataError when the folder is missing or holds nothing of that layout, and unless
    `lenient` for files that cannot be matched (`Dataset.unfit` has them).
    """
    settings = (settings or DataSettings.model_validate({})).model_copy(update={"name": name})
    if name == "phantom":
        made = Dataset(name, None, tuple(_phantom_items(settings.phantom)))
        return made.without(settings.exclude)
    if name not in LAYOUTS:
        known = ", ".join([*LAYOUTS, "phantom"])
        raise DataError(f"dataset {name!r} is unknown; expected one of {known}")
    layout = LAYOUTS[name]
    folder = _find_root(layout.folder, layout.source, root or settings.root)
    dataset = layout.read(folder, settings).without(settings.exclude)
    if dataset.unfit and not lenient:
        raise DataError(str(next(iter(dataset.unfit.values()))))
    if not any(item.image.is_file() for item in dataset.items):
        raise DataError(f"{folder}: found no image of {name}, expected {layout.expected}")
    return dataset


def load_settings(settings: DataSettings, lenient: bool = False) -> Dataset:
    """The dataset that the settings of a run describe; see `load`."""
    return load(settings.name, settings.root, settings, lenient)


def data_root() -> Path:
    """Where datasets lie when nothing else is said."""
    return Path(os.environ.get("VESSELFORGE_DATA") or "datasets")


def _find_root(folder: str, source: str, root: Path | str | None) -> Path:
    if root is not None:
        if not Path(root).is_dir():
            raise DataError(f"{root}: no such dataset folder; {source}")
        return Path(root)
    base = data_root()
    if base.is_dir():
        for candidate in sorted(base.iterdir()):
            if _plain(candidate.name) == _plain(folder) and candidate.is_dir():
                return candidate
    raise DataError(
        f"{base / folder}: no such dataset folder; {source}, or name another place with "
        "data.root or VESSELFORGE_DATA"
    )


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _phantom_items(settings: PhantomSettings) -> Iterator[Item]:
    counts = dict(zip(SPLITS, (settings.train, settings.validation, settings.test), strict=True))
    for split, id_, seed in phantom_names(settings.seed, counts):
        name = f"{id_}.png"
        yield PhantomItem(
            id=id_,
            split=split,
            image=Path("images") / name,
            masks={"exact": Path("masks") / name},
            fov=Path("fov") / name,
            seed=seed,
            size=settings.size,
        )
