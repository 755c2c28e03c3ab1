"""How a user's own images are split: `splits.csv`, groups of images, folds, else by shares."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from vesselforge.configs.base import as_written
from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings
from vesselforge.data.formats.images import composed, stem_of
from vesselforge.data.layouts.fellow_eyes import fellow_eyes
from vesselforge.data.layouts.items import Problem
from vesselforge.data.layouts.splits import SPLITS, TRAIN, deal, deal_fold

FILE = "splits.csv"
FORM = "expected a header with `id`, and `split` (train, validation or test) or `group`, or both"
TABLES = {"", ".csv", ".tsv", ".txt", ".xls", ".xlsx", ".json", ".yaml", ".yml"}
"""Suffixes of tables and lists, which may be meant for one where they are called after splits."""
COLUMNS = {"id", "split", "group"}
NOT_READ = f"is not read, and images are split anew; to split by it, call it {FILE}: {FORM}"
SHOWN = 5
"""Identifiers that a message names."""

Splits = dict[str, str]
"""Identifier → split."""


@dataclass(frozen=True)
class Listed:
    """What splits.csv says. splits, groups: by identifier; empty where the column is missing."""

    splits: Splits
    groups: dict[str, str]


def split_own(
    root: Path, images: Mapping[str, Path], settings: DataSettings
) -> tuple[Splits, list[Problem]]:
    """The split of every image of a `paired` folder, and what is to be said of it. images:
    identifier → file; those of `data.exclude` count as not there.

    By the column `split` of splits.csv in the folder; else dealt, as fold of a cross-validation or
    by shares. Raises DataError for a faulty splits.csv or data.group, and for too few images.
    """
    exclude = {composed(id_) for id_ in settings.exclude}
    meant = {id_: path for id_, path in images.items() if composed(id_) not in exclude}
    file = list_in(root)
    listed = read_splits(file, images, exclude)
    groups, problems = _groups(meant, settings, listed)
    if not file.is_file():
        near = (path for path in sorted(root.iterdir()) if "split" in path.stem.lower())
        tables = (path for path in near if path.suffix.lower() in TABLES and path.is_file())
        problems += [Problem("warning", str(path), NOT_READ) for path in tables]
    if listed.splits:
        splits = _by_list(file, listed.splits, groups, settings)
    elif settings.folds is not None:
        splits = deal_fold(groups, settings.fold or 0, settings.folds, settings.validation_share)
    else:
        shares = settings.validation_share, settings.test_share
        splits = deal(groups, *shares, settings.known_splits)
    if settings.group is None and not listed.groups and (said := fellow_eyes(splits)):
        problems.append(Problem("warning", str(root), said))
    left_out = dict.fromkeys((id_ for id_ in images if id_ not in meant), TRAIN)
    return splits | left_out, problems


def split_for_generator(images: Mapping[str, Path], settings: DataSettings) -> Splits:
    """Training and validation images of a folder without masks. Raises DataError as above."""
    meant = {id_: path for id_, path in images.items() if id_ not in settings.exclude}
    groups, problems = _groups(meant, settings, Listed({}, {}))
    if problems:
        raise DataError(str(problems[0]))
    return deal(groups, settings.validation_share, test_share=0.0)


def list_in(root: Path) -> Path:
    """Where the list of a folder is, or would be; capitals in its name do not matter."""
    near = (path for path in sorted(root.glob("*.[cC][sS][vV]")) if path.name.lower() == FILE)
    return root / FILE if (root / FILE).is_file() else next(near, root / FILE)


def read_csv(path: Path) -> list[tuple[int, list[str]]]:
    """(line, cells) of the rows in which there is anything. Raises DataError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = ";" if ";" in text.partition("\n")[0] else ","  # as Excel writes it in places
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as CSV in UTF-8 ({error}); save it so") from None
    return [(number, cells) for number, cells in rows if any(cells)]


def read_splits(path: Path, images: Mapping[str, Path], exclude: Collection[str]) -> Listed:
    """What a splits.csv says of these images; nothing where there is no such file. In the column
    `id` the name of the image's file is understood, too.

    Raises DataError, with the line, for a file that cannot be read, another header, a split that
    there is not, an image that is not there or stands in two lines, and for images without a line.
    """
    if not path.is_file():
        return Listed({}, {})
    rows = read_csv(path)
    head = [cell.lower() for cell in rows[0][1]] if rows else []
    if len(head) < 2 or len(set(head)) < len(head) or "id" not in head or set(head) - COLUMNS:
        raise DataError(f"{path}: found the header {','.join(head)!r}, {FORM}")
    known = {composed(name): id_ for id_, file in images.items() for name in (file.name, id_)}
    found: dict[str, dict[str, str]] = {}
    for number, cells in rows[1:]:
        row = dict(zip(head, cells, strict=False))
        if len(cells) != len(head) or not all(cells):
            fault = f"found {cells}, expected one value for each of {', '.join(head)}"
            raise DataError(f"{path}: line {number}: {fault}")
        id_ = known.get(composed(row["id"]), row["id"])
        if id_ in found:
            fault = f"found {id_!r} a second time, expected each image once"
        elif id_ not in images and id_ not in exclude:
            fault = f"found no image with the identifier {id_!r}; correct it, or remove the line"
        elif row.get("split", TRAIN) not in SPLITS:
            fault = f"found the split {row['split']!r}, expected one of {', '.join(SPLITS)}"
        else:
            found[id_] = row
            continue
        raise DataError(f"{path}: line {number}: {fault}")
    if missing := [id_ for id_ in images if id_ not in found and id_ not in exclude]:
        shown = ", ".join(map(repr, sorted(missing)[:SHOWN]))
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise DataError(
            f"{path}: found no line for {shown}{more}; expected one for every image: add them, or "
            "name them in data.exclude"
        )
    there = {id_: row for id_, row in found.items() if id_ in images}
    splits, groups = ({i: r[c] for i, r in there.items() if c in r} for c in ("split", "group"))
    return Listed(splits, groups)


def _by_list(
    path: Path, splits: Mapping[str, str], groups: Mapping[str, str], settings: DataSettings
) -> Splits:
    """The listed splits, of images that are meant. Raises DataError where they cannot be."""
    if settings.folds is not None:
        raise DataError(
            f"{path}: has a column `split`, and data.folds deals all images anew; expected one of "
            "the two: remove the column (a column `group` may stay), or unset data.folds"
        )
    first: dict[str, str] = {}
    for id_, group in groups.items():
        other = first.setdefault(group, id_)
        if splits[id_] != splits[other]:
            raise DataError(
                f"{path}: found {other!r} in {splits[other]} and {id_!r} in {splits[id_]}, which "
                f"are of one group, {group!r}; expected one split for all of a group"
            )
        before = settings.known_splits.get(id_, TRAIN)
        if before != TRAIN and splits[id_] == TRAIN:
            raise DataError(
                f"{path}: found {id_!r} in train, expected {before}, where it was for earlier "
                "versions of this line of models; leave it there, or begin a new line under "
                "another `name`"
            )
    return {id_: splits[id_] for id_ in sorted(groups, key=lambda i: (SPLITS.index(splits[i]), i))}


def _groups(
    images: Mapping[str, Path], settings: DataSettings, listed: Listed
) -> tuple[dict[str, str], list[Problem]]:
    """Identifier → group; a problem for each image in whose name data.group finds none."""
    if settings.group is None:
        return {id_: listed.groups.get(id_, id_) for id_ in images}, []
    if listed.groups:
        raise DataError(
            f"data.group: {FILE} has a column `group`; expected one of the two: remove the column, "
            "or unset data.group"
        )
    group_of = _searched(settings.group)
    groups, problems = {}, []
    for id_, path in images.items():
        group = group_of(id_) or group_of(stem_of(path))
        if not group:
            given = as_written(settings.group)
            sentence = f"data.group: {given} finds no group in {id_!r}; expected one"
            problems.append(Problem("error", str(path), sentence, id_))
        groups[id_] = group or id_
    return groups, problems


def _searched(pattern: str) -> Callable[[str], str | None]:
    """What a data.group finds in a name. Raises DataError for a bad one."""
    given = f"data.group: found {as_written(pattern)}"
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(f"{given}, which is no regular expression: {error}") from error
    if "group" not in compiled.groupindex and compiled.groups != 1:
        raise DataError(
            f"{given}, which has {compiled.groups} groups; expected one in parentheses, or one "
            "that is named: (?P<group>…)"
        )
    name: str | int = "group" if "group" in compiled.groupindex else 1

    def found(text: str) -> str | None:
        match = compiled.search(text)
        return match[name] if match else None

    return found
