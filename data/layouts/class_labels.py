"""Labels of images for a conditional generator: folders as classes, labels.csv or dataset.json.

The first fault of a file is said with its line (or entry, of JSON).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vesselforge.configs.errors import DataError
from vesselforge.data.layouts.items import Problem

CSV, JSON = "labels.csv", "dataset.json"
Value = int | tuple[float, ...]
"""A class number, or a vector."""
MOST_CLASSES = 1000
"""Class numbers above this are most likely years or identifiers when half of them are not used."""
MOST = 1e30
"""Bound of a label's values; infinity and NaN are not below it either."""
CSV_FORM = "expected a header `name,label` (class numbers) or `name,l1,l2,…` (values)"
JSON_FORM = 'expected {"labels": [["name.png", 0], …]} with class numbers or lists of values'


@dataclass(frozen=True)
class Labels:
    """vectors: image's name relative to the root → label; empty when there are none or they have
    an error. classes: their names, where labels are one-hot."""

    vectors: dict[str, tuple[float, ...]]
    classes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


class _FaultyError(Exception):
    """In which line (empty: the whole file), and what is wrong."""


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
    try:
        text = path.read_bytes().decode("utf-8-sig")
        values = _matched(_csv(text) if path.name == CSV else _json(text), set(names))
        return _labels(path, values, names)
    except UnicodeDecodeError as error:
        where, sentence = "", f"not UTF-8 text (byte {error.start}): save it as UTF-8"
    except _FaultyError as error:
        where, sentence = error.args
    place = f"{path}, {where}" if where else str(path)
    return Labels({}, problems=(Problem("error", place, sentence),))


def _of_folders(names: Sequence[str]) -> Labels:
    folders = {name: PurePosixPath(name).parts[0] for name in names if "/" in name}
    classes = sorted(set(folders.values()))
    if len(folders) < len(names) or len(classes) < 2:
        return Labels({})
    vectors = {name: _one_hot(classes.index(of), len(classes)) for name, of in folders.items()}
    return Labels(vectors, tuple(classes))


def _csv(text: str) -> Iterator[tuple[str, str, Any]]:
    """(line, name, number or list of numbers) of a labels.csv; what is no number stays text."""
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
                    raise _FaultyError(where, f"found {','.join(row)!r}, {CSV_FORM}")
            elif len(cells) != len(header):
                expected = f"expected {len(header)} as the header has"
                raise _FaultyError(where, f"found {len(cells)} cells, {expected}")
            elif len(header) == 2 and header[1].lower() == "label":
                yield where, cells[0], _number(cells[1], int)
            else:
                yield where, cells[0], [_number(cell, float) for cell in cells[1:]]
    except csv.Error as error:
        raise _FaultyError(f"line {reader.line_num}", f"not readable as CSV ({error})") from None
    if not header:
        raise _FaultyError("", f"found nothing, {CSV_FORM}")


def _number(cell: str, kind: type[int] | type[float]) -> float | str:
    try:
        return kind(cell)
    except ValueError:
        return cell


def _json(text: str) -> Iterator[tuple[str, str, Any]]:
    """(entry, name, label) of a dataset.json; none for {"labels": null}."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = getattr(error, "msg", str(error))
        raise _FaultyError(where, f"not readable as JSON ({reason}); {JSON_FORM}") from None
    if not isinstance(content, dict) or "labels" not in content:
        raise _FaultyError("", f"found no `labels`, {JSON_FORM}")
    labels = content["labels"]
    if labels is not None and (not isinstance(labels, list) or not labels):
        raise _FaultyError("", f"`labels` is no list of entries, {JSON_FORM}, or null for none")
    for number, entry in enumerate(labels or (), start=1):
        match entry:
            case [str(name), value]:
                yield f"entry {number}", name, value
            case _:
                shown = f"found {json.dumps(entry)[:60]}"
                raise _FaultyError(f"entry {number}", f'{shown}, expected ["name.png", label]')


def _matched(entries: Iterator[tuple[str, str, Any]], known: set[str]) -> dict[str, Value]:
    """Image → its label, all of one kind."""
    values: dict[str, Value] = {}
    places: dict[str, str] = {}
    for where, name, raw in entries:
        value = _value(where, raw)
        if name not in known:
            sentence = f"found no image {name!r} in this folder, expected its path from here, "
            raise _FaultyError(where, sentence + "with `/` and its suffix")
        if name in values:
            sentence = f"{name!r} occurs again (first in {places[name]}), expected once: remove one"
            raise _FaultyError(where, sentence)
        values[name], places[name] = value, where
        first = next(iter(values))
        if _form(value) != _form(values[first]):
            expected = f"expected {_form(values[first])} as in {places[first]}"
            raise _FaultyError(where, f"found {_form(value)}, {expected}")
    return values


def _value(where: str, raw: Any) -> Value:
    def is_number(x: Any) -> bool:
        return isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < MOST

    if is_number(raw) and isinstance(raw, int) and raw >= 0:
        return raw
    if isinstance(raw, list) and raw and all(is_number(x) for x in raw):
        return tuple(float(x) for x in raw)
    shown = f"found label {json.dumps(raw)[:60]}"
    raise _FaultyError(
        where,
        f"{shown}, expected a class number (0, 1, 2, …), or finite numbers (of a CSV, in columns "
        "that are not called `label`)",
    )


def _form(value: Value) -> str:
    return f"{len(value)} values" if isinstance(value, tuple) else "a class number"


def _labels(path: Path, values: dict[str, Value], names: Sequence[str]) -> Labels:
    """Class numbers as one-hot vectors; vectors as they are."""
    if not values and path.name == JSON:
        return Labels({})  # {"labels": null} says that there are none
    if missing := [name for name in names if name not in values]:
        more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        sentence = f"found no label of image {missing[0]!r}{more}, expected one for every image"
        raise _FaultyError("", sentence)
    numbers = {value for value in values.values() if isinstance(value, int)}
    if not numbers:
        return Labels({name: v for name, v in values.items() if isinstance(v, tuple)})
    count = max(numbers) + 1
    if count > MOST_CLASSES and count > 2 * len(numbers):
        sentence = f"found class number {count - 1} among {len(numbers)} different ones, expected "
        raise _FaultyError("", sentence + "them to count from 0: number the classes 0, 1, 2, …")
    unused = ", ".join(str(number) for number in range(count) if number not in numbers)
    sentence = f"no image has class {unused}; classes count from 0 to {count - 1}"
    problems = (Problem("warning", str(path), sentence),) if unused else ()
    vectors = {name: _one_hot(v, count) for name, v in values.items() if isinstance(v, int)}
    return Labels(vectors, tuple(map(str, range(count))), problems)


def _one_hot(number: int, count: int) -> tuple[float, ...]:
    return tuple(float(i == number) for i in range(count))
