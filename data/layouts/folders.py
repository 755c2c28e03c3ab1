"""From a folder to a dataset: files become items by the identifier in their names, never by order.

Three layouts: a known dataset (`configs.catalogue`), `paired` images and masks of a user's own, as
`data.layouts.roles` finds them, and `images`, any folder of images for the generator alone. What is
wrong with names is a `Problem` of the dataset, for `data.layouts.check` to report with the rest.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from vesselforge.configs.base import as_written
from vesselforge.configs.catalogue import KnownDataset, Splits
from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings
from vesselforge.data.formats.images import composed, is_image_name, stem_of
from vesselforge.data.layouts.class_labels import CSV, JSON, read_labels
from vesselforge.data.layouts.items import Dataset, Item, Problem
from vesselforge.data.layouts.own_splits import list_in, split_for_generator, split_own
from vesselforge.data.layouts.roles import FOREIGN, STRANGE_NAME, Identify, Sorted, sort_files
from vesselforge.data.layouts.splits import TEST, TRAIN


def read_known(name: str, known: KnownDataset, root: Path, settings: DataSettings) -> Dataset:
    """A public dataset; images of its lists that are missing are items, too."""
    problems: list[Problem] = []
    items: list[Item] = []
    templates = {"image": known.image, **known.masks} | ({"fov": known.fov} if known.fov else {})
    splits = known.folds[settings.fold or 0] if known.folds else _counted(known, root)
    for split, ids in splits.items():
        files = {}
        for role, template in templates.items():
            paths = {id_: root / known.path(template, id_, split) for id_ in ids}
            found = _listed(paths, problems)
            files[role] = paths | found if role == "image" else found
        items += [_item(id_, split, files) for id_ in ids]
    if known.fov and (bare := [item.id for item in items if not item.fov and item.image.is_file()]):
        sentence = (
            f"found no FOV of {len(bare)} images (the first: {bare[0]}), expected files such as "
            f"{known.path(known.fov, bare[0], items[0].split)}; it is derived from brightness"
        )
        problems.append(Problem("warning", str(root), sentence))
    return Dataset(name, root, tuple(items), known.unlabelled_test, problems=tuple(problems))


def _counted(known: KnownDataset, root: Path) -> Splits:
    """The splits of a set that says how many images each has, as `KnownDataset` tells. Raises
    DataError when there are more or fewer."""
    splits: dict[str, tuple[str, ...]] = {}
    for part in dict.fromkeys(known.parts.get(split, "") for split in known.counts):
        mine = [split for split in known.counts if known.parts.get(split, "") == part]
        folder = (root / known.path(known.image, known.sample, mine[0])).parent
        files = folder.iterdir() if folder.is_dir() else ()
        names = sorted({stem_of(path) for path in files if is_image_name(path)}, key=_last_digit)
        expected = sum(known.counts[split] for split in mine)
        if len(names) != expected:
            raise DataError(
                f"{folder}: found {len(names)} images, expected {expected}: which of {known.title} "
                f"are the test goes by all of them; {known.origin}"
            )
        for split in mine:
            count = known.counts[split]
            # Names of the test stay as they are; the others' may be the same.
            prefix = f"{part}-" if part and split != TEST else ""
            splits[split] = tuple(prefix + name for name in names[:count])
            names = names[count:]
    return splits


def _last_digit(name: str) -> tuple[int, int, str]:
    digits = re.search(r"\d+", name)
    number = int(digits[0]) if digits else 0
    return number % 10, number, name


def _listed(paths: Mapping[str, Path], problems: list[Problem]) -> dict[str, Path]:
    """Identifier → file, of those that a list names; case and suffix do not matter. A second one of
    the same is a problem."""
    ids = {stem_of(path).lower(): id_ for id_, path in paths.items()}
    folder = next(iter(paths.values())).parent
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        id_ = ids.get(stem_of(path).lower()) if is_image_name(path) else None
        if id_ is not None and (other := found.setdefault(id_, path)) != path:
            sentence = (
                f"found a second file for identifier {id_!r} beside {other.name}, expected one: "
                "remove one of the two"
            )
            problems.append(Problem("error", str(path), sentence, id_))
    return found


def _item(id_: str, split: str, files: Mapping[str, Mapping[str, Path]]) -> Item:
    """files: role → identifier → file; what is neither image nor fov is an observer's mask."""
    own = {role: paths[id_] for role, paths in files.items() if id_ in paths}
    return Item(id_, split, own.pop("image"), fov=own.pop("fov", None), masks=own)


def read_paired(root: Path, settings: DataSettings) -> Dataset:
    """Images, masks and FOVs wherever `data.layouts.roles` finds them, matched by their names or by
    the group `id` of settings.pattern.

    A mask or FOV without an image, two files of one identifier and a name in which the pattern
    finds none are problems; an image without a mask is one that `layouts.check` names. Raises
    DataError for a bad pattern, and when there are no two images."""
    found = sort_pairs(root, settings.pattern)
    splits, noted = split_own(root, found.images, settings)
    found.problems += noted
    files = {"image": found.images, "reference": found.masks, "fov": found.fovs}
    items = tuple(_item(id_, split, files) for id_, split in splits.items())
    return Dataset("paired", root, items, problems=tuple(found.problems))


def sort_pairs(root: Path, pattern: str | None) -> Sorted:
    """The images of a folder with their masks and FOVs, and warnings of what was left out. Raises
    DataError for a bad pattern, and where there are no images."""
    found = sort_files(root, _id_of(pattern) if pattern else None)
    if len(found.images) < 2 and found.problems:  # too few for a dataset, and this is why
        raise DataError(str(found.problems[0]))
    if not found.images:
        raise DataError(f"{root}: found no image, expected images/ beside masks/")
    found.warn(root)
    if found.splits(root):
        sentence = (
            "its folders look like splits (train, test), but do not count as such: "
            "`vesselforge data import` writes them down as splits.csv"
        )
        found.problems.append(Problem("warning", str(root), sentence))
    return found


def _id_of(pattern: str) -> Identify:
    """The identifier in a file's name; None where the pattern finds none."""
    given = f"data.pattern: found {as_written(pattern)}"
    try:
        searched = re.compile(composed(pattern))
    except re.error as error:
        raise DataError(f"{given}, which is no regular expression: {error}") from error
    if "id" not in searched.groupindex:
        raise DataError(f"{given}, which has no group `id`; write (?P<id>…) in it")

    def found(stem: str) -> str | None:
        match = searched.search(stem)
        return match["id"] or None if match else None

    return found


def read_images(root: Path, settings: DataSettings) -> Dataset:
    """Every image file under `root`, but for masks and FOVs (see `data.layouts.roles`); hidden ones
    and what macOS adds to archives are not meant.

    Identifiers are names relative to `root` without suffix (with it where two would be the same).
    None is a test image; `validation_share` of them are held back from training. A name that is no
    plain text is a problem.
    """
    sorted_ = sort_files(root)
    drawn = set(sorted_.drawn)
    images = {
        path.relative_to(root).as_posix(): path for path in sorted_.pictures if path not in drawn
    }
    problems = [problem for problem in sorted_.problems if problem.sentence == STRANGE_NAME]
    sorted_.problems = problems
    sorted_.left_out = {
        FOREIGN: sorted_.left_out.get(FOREIGN, []),
        "masks or FOVs: the generator is shown images alone": sorted_.drawn,
    }
    sorted_.warn(root)
    if (listed := list_in(root)).is_file():
        sentence = "is not read of images without masks: data.group keeps patients together"
        problems.append(Problem("warning", str(listed), sentence))
    ids = _identifiers(images)
    try:
        labels, classes = read_labels(root, list(images))
    except DataError as error:
        labels, classes = {}, ()
        named = (str(path) for path in (root / CSV, root / JSON, root))
        file = next(path for path in named if str(error).startswith(f"{path}: "))
        problems.append(Problem("error", file, str(error).removeprefix(f"{file}: ")))
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
    stems = {
        name: composed((PurePosixPath(name).parent / stem_of(path)).as_posix())
        for name, path in images.items()
    }
    counts = Counter([*stems.values(), *images])
    return {name: stem if counts[stem] == 1 else name for name, stem in stems.items()}
