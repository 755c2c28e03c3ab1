"""From a folder to a dataset: files become items by the identifier in their names, never by order.

Three layouts: a known dataset (`configs.catalogue`), `paired` images and masks of a user's own, and
`images`, any folder of images for the generator alone. What is wrong with names is a `Problem` of
the dataset, for `data.layouts.check` to report with the rest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath

from vesselforge.configs.catalogue import KnownDataset
from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings
from vesselforge.data.formats.images import is_image_name, stem_of
from vesselforge.data.layouts.class_labels import CSV, JSON, read_labels
from vesselforge.data.layouts.items import Dataset, Item, Problem
from vesselforge.data.layouts.own_splits import split_for_generator, split_own
from vesselforge.data.layouts.splits import TRAIN

NOTES = frozenset({"", ".txt", ".md", ".pdf", ".html", ".yaml", ".json", ".csv"})
"""Suffixes of files that nobody expects to be images."""
FOLDERS = ("images", "masks", "fov")
HIDDEN = re.compile(r"\.|__MACOSX$")


def read_known(name: str, known: KnownDataset, root: Path, settings: DataSettings) -> Dataset:
    """A public dataset; images of its lists that are missing are items, too."""
    problems: list[Problem] = []
    items: list[Item] = []
    templates = {"image": known.image, **known.masks} | ({"fov": known.fov} if known.fov else {})
    for split, ids in known.folds[settings.fold or 0].items():
        files = {}
        for role, template in templates.items():
            paths = {id_: root / known.path(template, id_, split) for id_ in ids}
            found = _listed(paths, problems)
            files[role] = paths | found if role == "image" else found
        items += [_item(id_, split, files) for id_ in ids]
    return Dataset(name, root, tuple(items), known.unlabelled_test, problems=tuple(problems))


def _listed(paths: Mapping[str, Path], problems: list[Problem]) -> dict[str, Path]:
    """Identifier → file, of those that a list names; case and suffix do not matter."""
    ids = {stem_of(path).lower(): id_ for id_, path in paths.items()}
    folder = next(iter(paths.values())).parent
    return _by_id(folder, lambda stem: ids.get(stem.lower(), ""), problems)


def _item(id_: str, split: str, files: Mapping[str, Mapping[str, Path]]) -> Item:
    """files: role → identifier → file; what is neither image nor fov is an observer's mask."""
    own = {role: paths[id_] for role, paths in files.items() if id_ in paths}
    return Item(id_, split, own.pop("image"), fov=own.pop("fov", None), masks=own)


def read_paired(root: Path, settings: DataSettings) -> Dataset:
    """images/ + masks/ (+ fov/), by equal stems or by the group `id` of settings.pattern.

    A mask or FOV without an image, two files of one identifier and a name in which the pattern
    finds none are problems; an image without a mask is one that `layouts.check` names. Raises
    DataError for a bad pattern, and when there are no two images."""
    problems: list[Problem] = []
    id_of = _id_of(settings.pattern)
    images, masks, fovs = (_by_id(root / name, id_of, problems) for name in FOLDERS)
    if len(images) < 2 and problems:  # too few for a dataset, and this is why
        raise DataError(str(problems[0]))
    if not images:
        raise DataError(f"{root / 'images'}: found no image, expected images/ beside masks/")
    for id_, path in {**fovs, **masks}.items():
        if id_ not in images:
            sentence = (
                f"found no image with identifier {id_!r} in {root / 'images'}; rename one of the "
                "two, or say with data.pattern how names are matched"
            )
            problems.append(Problem("error", str(path), sentence, id_))
    files = {"image": images, "reference": masks, "fov": fovs}
    splits, noted = split_own(root, images, settings)
    problems += noted
    items = tuple(_item(id_, split, files) for id_, split in splits.items())
    return Dataset("paired", root, items, problems=tuple(problems))


def _id_of(pattern: str | None) -> Callable[[str], str | None]:
    """The identifier in the stem of a file's name; None where the pattern finds none."""
    try:
        searched = re.compile(pattern or "(?s)(?P<id>.+)")
    except re.error as error:
        raise DataError(f"data.pattern {pattern!r} is not a regular expression: {error}") from error
    if "id" not in searched.groupindex:
        raise DataError(f"data.pattern {pattern!r} has no group `id`; write (?P<id>…) in it")

    def found(stem: str) -> str | None:
        match = searched.search(stem)
        return match["id"] or None if match else None

    return found


def _by_id(
    folder: Path, id_of: Callable[[str], str | None], problems: list[Problem]
) -> dict[str, Path]:
    """Identifier → image file of a folder; empty when there is none. A file without an identifier
    (None; an empty one: it is not meant) is a problem, and a second one of the same."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not is_image_name(path):
            continue
        id_ = id_of(stem_of(path))
        if id_ is None:
            sentence = "data.pattern finds no `id` in this name"
            problems.append(Problem("error", str(path), sentence, path.name))
        elif id_ and (other := found.setdefault(id_, path)) != path:
            sentence = (
                f"found a second file for identifier {id_!r} beside {other.name}, expected one: "
                "remove one of the two, or change data.pattern if that is what takes them for one"
            )
            problems.append(Problem("error", str(path), sentence, id_))
    return found


def read_images(root: Path, settings: DataSettings) -> Dataset:
    """Every image file under `root`; hidden ones and what macOS adds to archives are not meant.

    Identifiers are names relative to `root` without suffix (with it where two would be the same).
    None is a test image; `validation_share` of them are held back from training. Raises DataError
    for a name that is no Unicode text.
    """
    files = {
        path.relative_to(root).as_posix(): path
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(map(HIDDEN.match, path.relative_to(root).parts))
    }
    images = {name: path for name, path in files.items() if is_image_name(path)}
    ids, problems = _identifiers(images), _left_out(root, files.keys() - images.keys())
    try:
        labels, classes = read_labels(root, list(images))
    except DataError as error:
        labels, classes = {}, ()
        problems.append(Problem("error", *str(error).split(": ", 1)))
    shown = {number for vector in labels.values() for number, told in enumerate(vector) if told}
    if unused := ", ".join(name for number, name in enumerate(classes) if number not in shown):
        sentence = f"no image has class {unused}; classes count from 0 to {len(classes) - 1}"
        problems.append(Problem("warning", str(root), sentence))
    held = settings.validation_share
    by_id = {id_: images[name] for name, id_ in ids.items()}
    splits = split_for_generator(by_id, settings) if images and held > 0 else {}
    items = tuple(
        Item(id_, splits.get(id_, TRAIN), images[name], whole=True, label=labels.get(name))
        for name, id_ in ids.items()
    )
    return Dataset("images", root, items, classes=classes, problems=tuple(problems))


def _identifiers(images: Mapping[str, Path]) -> dict[str, str]:
    """Name → identifier, as `read_images` says."""
    stems = {}
    for name, path in images.items():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"{str(path)!r}: the file's name is not UTF-8: rename it") from None
        stems[name] = (PurePosixPath(name).parent / stem_of(path)).as_posix()
    counts = Counter([*stems.values(), *images])
    return {name: stem if counts[stem] == 1 else name for name, stem in stems.items()}


def _left_out(root: Path, names: Iterable[str]) -> list[Problem]:
    """A warning about files that look as if they were meant."""
    kinds = Counter(PurePosixPath(name).suffix.lower() for name in names if name not in (CSV, JSON))
    strange = [f"{n} {suffix}" for suffix, n in sorted(kinds.items()) if suffix not in NOTES]
    if not strange:
        return []
    found = ", ".join(strange)
    sentence = f"left out {found} files, which are no images that can be read here: convert them"
    return [Problem("warning", str(root), sentence)]
