"""Which image files a user means, what their maps are called, and reading them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import Picture, is_image_name, read_picture, stem_of

DARK = 0.25
"""16-bit images that use less than this share of the range are remarked on."""


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


def read_image(file: Path) -> tuple[NDArray[np.uint8], str]:
    """([H, W, 3] uint8, a remark or an empty string). Raises DataError naming the file.

    The image stands as viewers show it (EXIF). Grey is repeated, alpha laid on black, 16 bits
    become 8: what the networks saw in training.
    """
    picture = read_picture(file)
    return picture.rgb(), _remark(picture)


def _remark(picture: Picture) -> str:
    """Cameras of 12 bits often store them in 16 without scaling: to a network nearly black."""
    most = int(picture.pixels.max(initial=0))
    if picture.bits == 8 or most >= DARK * 65535:
        return ""
    return (
        f"dark: its 16-bit values end at {most} of 65535; scale them if the camera has fewer bits"
    )
