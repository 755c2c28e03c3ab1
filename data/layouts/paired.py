"""How files become items: matched by the identifier in their names, never by order."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings
from vesselforge.data.formats.images import is_image_name, stem_of
from vesselforge.data.layouts.items import Dataset, Item, Problem
from vesselforge.data.layouts.splits import CHASE_DB1, DRIVE, TEST, by_hash, stare
from vesselforge.data.layouts.whole import read_images


@dataclass(frozen=True)
class Layout:
    """folder: usual name; source: where to get it; expected: what one looks for inside."""

    folder: str
    source: str
    expected: str
    read: Callable[[Path, DataSettings], Dataset]


Unfit = dict[str, Problem]


def files_by_id(folder: Path, pattern: str, unfit: Unfit | None = None) -> dict[str, Path]:
    """Identifier → image file, of the files in `folder` whose stem matches `pattern` (whole, any
    case; its group `id` is the identifier). Empty when there is no such folder.

    Two files of the same identifier: noted in `unfit`; without one, DataError.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = re.fullmatch(pattern, stem_of(path), re.IGNORECASE)
        if match and is_image_name(path):
            _note(found, match["id"], path, "remove one of the two", unfit)
    return found


def _note(found: dict[str, Path], id_: str, path: Path, way_out: str, unfit: Unfit | None) -> None:
    if (other := found.setdefault(id_, path)) == path:
        return
    sentence = f"found a second file for identifier {id_!r} beside {other.name}, expected one: "
    problem = Problem("error", str(path), sentence + way_out)
    if unfit is None:
        raise DataError(str(problem))
    unfit[id_] = problem


def read_drive(root: Path, settings: DataSettings) -> Dataset:
    """training/ and test/, each with images/, 1st_manual/, mask/; test/2nd_manual/.

    The official package has no manual segmentation of the test images."""
    items = []
    for split, ids in DRIVE.items():
        part = "test" if split == TEST else "training"
        folder = root / part
        images = files_by_id(folder / "images", rf"(?P<id>\d\d)_{part}")
        masks = {
            "1st": files_by_id(folder / "1st_manual", r"(?P<id>\d\d)_manual1"),
            "2nd": files_by_id(folder / "2nd_manual", r"(?P<id>\d\d)_manual2"),
        }
        fovs = files_by_id(folder / "mask", rf"(?P<id>\d\d)_{part}_mask")
        for id_ in ids:
            expected = folder / "images" / f"{id_}_{part}.tif"
            items.append(_item(id_, split, images.get(id_, expected), masks, fovs))
    return Dataset("drive", root, tuple(items), unlabelled_test=True)


def read_chase(root: Path, settings: DataSettings) -> Dataset:
    """One flat folder: Image_01L.jpg, Image_01L_1stHO.png, Image_01L_2ndHO.png; no FOV."""
    images = files_by_id(root, r"Image_(?P<id>\d\d[LR])")
    masks = {
        "1st": files_by_id(root, r"Image_(?P<id>\d\d[LR])_1stHO"),
        "2nd": files_by_id(root, r"Image_(?P<id>\d\d[LR])_2ndHO"),
    }
    items = [
        _item(id_, split, images.get(id_, root / f"Image_{id_}.jpg"), masks, {})
        for split, ids in CHASE_DB1.items()
        for id_ in ids
    ]
    return Dataset("chase-db1", root, tuple(items))


def read_stare(root: Path, settings: DataSettings) -> Dataset:
    """stare-images/, labels-ah/ (the reference), labels-vk/; no FOV."""
    images = files_by_id(root / "stare-images", r"(?P<id>im\d{4})")
    masks = {
        "ah": files_by_id(root / "labels-ah", r"(?P<id>im\d{4})\.ah"),
        "vk": files_by_id(root / "labels-vk", r"(?P<id>im\d{4})\.vk"),
    }
    items = [
        _item(id_, split, images.get(id_, root / "stare-images" / f"{id_}.ppm"), masks, {})
        for split, ids in stare(settings.fold).items()
        for id_ in ids
    ]
    return Dataset("stare", root, tuple(items))


def read_paired(root: Path, settings: DataSettings) -> Dataset:
    """images/ + masks/ (+ fov/), by equal stems or by the group `id` of settings.pattern.

    A mask or FOV without an image, two files of one identifier and a name in which the pattern
    finds none are `unfit`; an image without a mask is a problem that `layouts.check` names. Raises
    DataError for a bad pattern."""
    unfit: Unfit = {}
    images, masks, fovs = (
        _identified(root / name, settings.pattern, unfit) for name in ("images", "masks", "fov")
    )
    if len(images) < 2 and unfit:  # too few for a dataset, and this is why
        raise DataError(str(next(iter(unfit.values()))))
    if not images:
        raise DataError(f"{root / 'images'}: found no image, expected images/ beside masks/")
    for id_, path in {**fovs, **masks}.items():
        if id_ not in images:
            sentence = (
                f"found no image with identifier {id_!r} in {root / 'images'}; rename one of the "
                "two, or say with data.pattern how names are matched"
            )
            unfit.setdefault(id_, Problem("error", str(path), sentence))
    parts = by_hash(images, settings.validation_share, settings.test_share)
    items = [
        _item(id_, split, images[id_], {"reference": masks}, fovs)
        for split, ids in parts.items()
        for id_ in ids
    ]
    return Dataset("paired", root, tuple(items), unfit=unfit)


def _identified(folder: Path, pattern: str | None, unfit: Unfit) -> dict[str, Path]:
    if pattern is None:
        return files_by_id(folder, "(?P<id>.+)", unfit)
    try:
        searched = re.compile(pattern)
    except re.error as error:
        raise DataError(f"data.pattern {pattern!r} is not a regular expression: {error}") from error
    if "id" not in searched.groupindex:
        raise DataError(f"data.pattern {pattern!r} has no group `id`; write (?P<id>…) in it")
    paths = [p for p in sorted(folder.iterdir()) if is_image_name(p)] if folder.is_dir() else []
    found: dict[str, Path] = {}
    for path in paths:
        match = searched.search(stem_of(path))
        if match and match["id"]:
            _note(found, match["id"], path, "remove one of the two or change data.pattern", unfit)
        else:
            sentence = f"data.pattern {pattern!r} finds no `id` in this name"
            unfit[path.name] = Problem("error", str(path), sentence)
    return found


def _item(
    id_: str,
    split: str,
    image: Path,
    masks: Mapping[str, Mapping[str, Path]],
    fovs: Mapping[str, Path],
) -> Item:
    found = {name: files[id_] for name, files in masks.items() if id_ in files}
    return Item(id_, split, image, found, fovs.get(id_))


LAYOUTS = {
    "drive": Layout(
        "DRIVE",
        "register at https://drive.grand-challenge.org and unpack it there",
        "training/images/21_training.tif",
        read_drive,
    ),
    "chase-db1": Layout(
        "CHASE_DB1",
        "get it from https://researchdata.kingston.ac.uk/96 and unpack it there",
        "Image_01L.jpg",
        read_chase,
    ),
    "stare": Layout(
        "STARE",
        "get it from https://cecas.clemson.edu/~ahoover/stare and unpack it there",
        "stare-images/im0001.ppm or .ppm.gz",
        read_stare,
    ),
    "paired": Layout(
        "paired",
        "put images/ and masks/ there",
        "images/ and masks/ with equal stems",
        read_paired,
    ),
    "images": Layout(
        "images", "name the folder with data.root", "image files, in sub-folders too", read_images
    ),
}
