"""Labels of images for a conditional generator: folders as classes, labels.csv or dataset.json.

What is wrong with them is said all at once, each with its file and line (or entry, of JSON).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vesselforge.configs.errors import DataError
from vesselforge.data.layouts.items import Problem

CSV, JSON = "labels.csv", "dataset.json"
Value = int | tuple[float, ...]
"""A class number, or a vector."""
LISTED = 20
"""Problems of one kind that are listed; the others are counted."""
MOST_CLASSES = 1000
"""Class numbers above this are most likely years or identifiers when half of them are not used."""
MOST = 1e30
"""Bound of a label's values; infinity and NaN are not below it either."""
CSV_FORM = "expected a header `name,label` (class numbers) or `name,l1,l2,…` (values)"
JSON_FORM = 'expected {"labels": [["name.png", 0], …]} with class numbers or lists of values'


@dataclass(frozen=True)
class Labels:
    """vectors: image's name relative to the root → label; empty when there are none or they have
    problems. classes: their names, where labels are one-hot."""

    vectors: dict[str, tuple[float, ...]]
    classes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One line of a label file: where it is, the image's name, its label."""

    where: str
    name: str
    value: Value


class _Faulty(Exception):
    """What is wrong, and in which line."""

    def __init__(self, where: str, sentence: str) -> None:
        super().__init__(sentence)
        self.where = where


def read_labels(root: Path, names: Sequence[str]) -> Labels:
    """The labels of the images `names` (relative to `root`, with `/`).

    From dataset.json or labels.csv, whichever lies in `root`; else from sub-folders, when every
    image is in one and there are at least two; else there are none. Raises DataError when there
    are both files.
    """
    paths = [root / name for name in (CSV, JSON) if (root / name).is_file()]
    if len(paths) == 2:
        raise DataError(f"{root}: found {CSV} and {JSON}, expected one: remove the other")
    if not paths:
        return _of_folders(names)
    path = paths[0]
    entries: list[Entry] = []
    problems: list[Problem] = []
    try:
        text = path.read_bytes().decode("utf-8-sig")
        for where, name, raw in _csv(text) if path.name == CSV else _json(text):
            try:
                entries.append(Entry(where, name, _value(where, raw)))
            except _Faulty as fault:
                problems.append(_at(path, fault.where, str(fault)))
        if not entries and not problems and path.name == JSON:
            return Labels({})  # {"labels": null} says that there are none
    except UnicodeDecodeError as error:
        problems.append(_at(path, "", f"not UTF-8 text (byte {error.start}): save it as UTF-8"))
    except _Faulty as fault:
        problems.append(_at(path, fault.where, str(fault)))
    problems = problems or _mismatches(path, entries, names)
    return Labels({}, problems=tuple(_shortened(problems))) if problems else _vectors(path, entries)


def _of_folders(names: Sequence[str]) -> Labels:
    folders = {name: PurePosixPath(name).parts[0] for name in names if "/" in name}
    classes = sorted(set(folders.values()))
    if len(folders) < len(names) or len(classes) < 2:
        return Labels({})
    vectors = {name: _one_hot(classes.index(of), len(classes)) for name, of in folders.items()}
    return Labels(vectors, tuple(classes))


def _csv(text: str) -> Iterator[tuple[str, str, Any]]:
    """(line, name, number or list of text) of a labels.csv. Raises _Faulty."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    try:
        for row in reader:
            where, cells = f"line {reader.line_num}", [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not header:
                header = cells
                if len(header) < 2 or header[0].lower() != "name":
                    raise _Faulty(where, f"found {','.join(row)!r}, {CSV_FORM}")
            elif len(cells) != len(header):
                raise _Faulty(
                    where, f"found {len(cells)} cells, expected {len(header)} as the header has"
                )
            elif len(header) == 2 and header[1].lower() == "label":
                number = int(cells[1]) if re.fullmatch(r"\d{1,18}", cells[1], re.ASCII) else None
                yield where, cells[0], cells[1] if number is None else number
            else:
                yield where, cells[0], [_number(cell) for cell in cells[1:]]
    except csv.Error as error:
        raise _Faulty(f"line {reader.line_num}", f"not readable as CSV ({error})") from None
    if not header:
        raise _Faulty("", f"found nothing, {CSV_FORM}")


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def _json(text: str) -> Iterator[tuple[str, str, Any]]:
    """(entry, name, label) of a dataset.json; none for {"labels": null}. Raises _Faulty."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = getattr(error, "msg", str(error))
        raise _Faulty(where, f"not readable as JSON ({reason}); {JSON_FORM}") from None
    if not isinstance(content, dict) or "labels" not in content:
        raise _Faulty("", f"found no `labels`, {JSON_FORM}")
    labels = content["labels"]
    if labels is not None and (not isinstance(labels, list) or not labels):
        raise _Faulty("", f"`labels` is no list of entries, {JSON_FORM}, or null for no labels")
    for number, entry in enumerate(labels or (), start=1):
        match entry:
            case [str(name), value]:
                yield f"entry {number}", name, value
            case _:
                shown = json.dumps(entry)[:60]
                raise _Faulty(f"entry {number}", f'found {shown}, expected ["name.png", label]')


def _value(where: str, raw: Any) -> Value:
    """A class number, or a vector. Raises _Faulty."""

    def is_number(x: Any) -> bool:
        return isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < MOST

    if is_number(raw) and isinstance(raw, int) and raw >= 0:
        return raw
    if isinstance(raw, list) and raw and all(is_number(x) for x in raw):
        return tuple(float(x) for x in raw)
    raise _Faulty(
        where,
        f"found label {json.dumps(raw)[:60]}, expected a class number (0, 1, 2, …), or finite "
        "numbers (of a CSV, in columns that are not called `label`)",
    )


def _mismatches(path: Path, entries: list[Entry], names: Sequence[str]) -> list[Problem]:
    """Names that occur twice or not at all, images without a label, labels of different kinds."""
    known = set(names)
    first: dict[str, Entry] = {}
    problems = []
    for entry in entries:
        if entry.name not in known:
            sentence = f"found no image {entry.name!r} in {path.parent}, expected its path from "
            problems.append(_at(path, entry.where, sentence + "there, with `/` and its suffix"))
        elif first.setdefault(entry.name, entry) is not entry:
            sentence = f"{entry.name!r} occurs again (first in {first[entry.name].where})"
            problems.append(_at(path, entry.where, f"{sentence}, expected once: remove one"))
        elif _form(entry.value) != _form(entries[0].value):
            sentence = f"found {_form(entry.value)}, expected {_form(entries[0].value)} as in "
            problems.append(_at(path, entry.where, f"{sentence}{entries[0].where}"))
    for name in names:
        if name not in first:
            sentence = f"found no label of image {name!r}, expected one for every image"
            problems.append(Problem("error", str(path), sentence))
    return problems


def _form(value: Value) -> str:
    return f"{len(value)} values" if isinstance(value, tuple) else "a class number"


def _vectors(path: Path, entries: list[Entry]) -> Labels:
    numbers = sorted({e.value for e in entries if isinstance(e.value, int)})
    if not numbers:
        return Labels({e.name: e.value for e in entries if isinstance(e.value, tuple)})
    count = numbers[-1] + 1
    if count > MOST_CLASSES and count > 2 * len(numbers):
        sentence = (
            f"found class number {numbers[-1]} among {len(numbers)} different ones, expected them "
            "to count from 0: number the classes 0, 1, 2, …"
        )
        return Labels({}, problems=(Problem("error", str(path), sentence),))
    unused = sorted(set(range(count)) - set(numbers))
    shown = ", ".join(map(str, unused[:LISTED])) + (" …" if len(unused) > LISTED else "")
    sentence = f"no image has class {shown}; classes count from 0 to {numbers[-1]}"
    problems = (Problem("warning", str(path), sentence),) if unused else ()
    vectors = {e.name: _one_hot(e.value, count) for e in entries if isinstance(e.value, int)}
    return Labels(vectors, tuple(map(str, range(count))), problems)


def _one_hot(number: int, count: int) -> tuple[float, ...]:
    return tuple(float(i == number) for i in range(count))


def _at(path: Path, where: str, sentence: str) -> Problem:
    return Problem("error", f"{path}, {where}" if where else str(path), sentence)


def _shortened(problems: Iterable[Problem]) -> list[Problem]:
    """At most LISTED problems, and one that counts the rest."""
    whole = list(problems)
    if len(whole) <= LISTED + 1:
        return whole
    rest = f"and {len(whole) - LISTED} more problems with labels"
    return [*whole[:LISTED], Problem("error", whole[0].file.split(", ")[0], rest)]
