"""Which image files a user means, and what their maps are called."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import is_image_name, stem_of


def find_images(paths: Iterable[Path]) -> tuple[list[Path], dict[Path, str]]:
    """(image files among the paths and directly inside the folders, faults of the other paths).

    Every file once, in the order given, those of a folder by name. Raises DataError when there is
    no image at all.
    """
    found: dict[Path, Path] = {}  # real path → as it was given
    faults: dict[Path, str] = {}
    for path in paths:
        try:
            inside = _images_in(path)
        except OSError as error:
            faults[path] = f"{path}: cannot be read ({error.strerror})"
            continue
        if not inside:
            faults[path] = (
                f"{path}: found no image files directly in this folder, expected some; give its "
                "sub-folders, or the files"
                if path.is_dir()
                else f"{path}: no such image or folder"
            )
        for file in inside:
            found.setdefault(file.resolve(), file)
    if not found:
        raise DataError("; ".join(faults.values()) or "no images were given")
    return list(found.values()), faults


def _images_in(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(p for p in path.iterdir() if is_image_name(p) and not p.is_dir())
    return [path] if path.exists() else []


def output_names(files: list[Path]) -> list[str]:
    """A name for the maps of every file: its stem; where several files share it, with the folders
    before it that tell them apart, and with the suffix if they lie in the same one.

    a/eye.png and b/eye.png become a-eye and b-eye. Upper and lower case count as the same, as
    some file systems have it; what is taken then gets a number.
    """
    alike: dict[str, list[Path]] = {}
    for file in files:
        alike.setdefault(stem_of(file).casefold(), []).append(file.resolve().parent)
    taken: set[str] = set()
    names = []
    for file in files:
        name, place = stem_of(file), file.resolve()
        parents = alike[name.casefold()]
        if len(parents) > 1:
            folders = place.parent.relative_to(os.path.commonpath(parents)).parts
            name = "-".join((*folders, name if parents.count(place.parent) == 1 else place.name))
        number, free = 2, name
        while free.casefold() in taken:
            number, free = number + 1, f"{name}-{number}"
        taken.add(free.casefold())
        names.append(free)
    return names
