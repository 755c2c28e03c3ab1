"""Labels of images for a conditional generator: folders as classes, labels.csv or dataset.json.

What is wrong with them is said all at once, each with its file and line.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from vesselforge.configs.errors import DataError
from vesselforge.data.layouts.items import Problem

CSV, JSON = "labels.csv", "dataset.json"
Source = Literal["auto", "none", "folders", "csv", "json"]
Value = int | tuple[float, ...]
"""A class number, or a vector."""
LISTED = 20
"""Problems of one kind that are listed; the others are counted."""
MOST_CLASSES = 1000
"""Class numbers above this are most likely years or identifiers when half of them are not used."""
MOST = 1e30
"""Bound of a label's values; infinity and NaN are not below it either."""
CSV_FORM = "expected a header `name,label` (class numbers) or `name,l1,l2,…` (values), then a line "
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
    """One line of a label file; value None: it had a problem of its own."""

    line: int
    name: str
    value: Value | None


def read_labels(root: Path, names: Sequence[str], source: Source) -> Labels:
    """The labels of the images `names` (relative to `root`, with `/`).

    auto: dataset.json or labels.csv, whichever lies in `root`; else sub-folders, when every image
    is in one and there are at least two; else none. Raises DataError when the file of an explicit
    source is missing, and under auto when there are both.
    """
    if source == "auto":
        source = _found(root, names)
    if source == "none":
        return Labels({})
    if source == "folders":
        return _of_folders(root, names)
    path = root / (CSV if source == "csv" else JSON)
    if not path.is_file():
        raise DataError(f"{path}: no such file, which data.labels: {source} needs")
    problems: list[Problem] = []
    try:
        text = path.read_bytes().decode("utf-8-sig")
        entries = list((_csv if source == "csv" else _json)(path, text, problems))
    except UnicodeDecodeError as error:
        problems.append(_at(path, 1, f"not UTF-8 text (byte {error.start}): save it as UTF-8"))
        entries = []
    if source == "json" and not entries and not problems:
        return Labels({})  # {"labels": null} says that there are none
    if not problems:
        problems += _mismatches(path, entries, names)
    if any(problem.severity == "error" for problem in problems):
        return Labels({}, problems=tuple(_shortened(problems)))
    return _vectors(path, entries)


def _found(root: Path, names: Sequence[str]) -> Source:
    files = [name for name in (CSV, JSON) if (root / name).is_file()]
    if len(files) == 2:
        raise DataError(
            f"{root}: found {CSV} and {JSON}, expected one: say which with data.labels: csv or json"
        )
    if files:
        return "csv" if files[0] == CSV else "json"
    folders = {PurePosixPath(name).parts[0] for name in names if "/" in name}
    return "folders" if len(folders) > 1 and all("/" in name for name in names) else "none"


def _of_folders(root: Path, names: Sequence[str]) -> Labels:
    loose = [name for name in names if "/" not in name]
    if loose:
        problems = [
            Problem("error", str(root / name), "lies in no sub-folder, expected one named as its "
                    "class: move it, or set data.labels: none")
            for name in loose
        ]  # fmt: skip
        return Labels({}, problems=tuple(_shortened(problems)))
    classes = sorted({PurePosixPath(name).parts[0] for name in names})
    place = {name: number for number, name in enumerate(classes)}
    vectors = {name: _one_hot(place[PurePosixPath(name).parts[0]], len(classes)) for name in names}
    return Labels(vectors, tuple(classes))


def _csv(path: Path, text: str, problems: list[Problem]) -> Iterator[Entry]:
    """Entries of a labels.csv."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    try:
        for row in reader:
            line, cells = reader.line_num, [cell.strip() for cell in row]
            if not any(cells):
                continue
            if not header:
                header = cells
                if len(header) < 2 or header[0].lower() != "name":
                    problems.append(_at(path, line, f"found {','.join(row)!r}, {CSV_FORM}an image"))
                    return
            elif len(cells) != len(header):
                sentence = f"found {len(cells)} cells, expected {len(header)} as the header has"
                problems.append(_at(path, line, sentence))
            else:
                one = len(header) == 2 and header[1].lower() == "label"
                yield Entry(line, cells[0], _csv_value(path, line, cells[1:], one, problems))
    except csv.Error as error:
        problems.append(_at(path, reader.line_num, f"not readable as CSV ({error})"))
    if not header:
        problems.append(_at(path, 1, f"found nothing, {CSV_FORM}an image"))


def _csv_value(
    path: Path, line: int, cells: list[str], is_class: bool, problems: list[Problem]
) -> Value | None:
    if is_class:
        if re.fullmatch(r"\d{1,18}", cells[0], re.ASCII):
            return int(cells[0])
        sentence = (
            f"found label {cells[0]!r}, expected a class number (0, 1, 2, …); name the column "
            "otherwise than `label` for a value that is no class"
        )
        problems.append(_at(path, line, sentence))
        return None
    values = []
    for cell in cells:
        try:
            values.append(float(cell))
        except ValueError:
            values.append(math.nan)
        if not abs(values[-1]) < MOST:
            problems.append(_at(path, line, f"found {cell!r}, expected a finite number"))
            return None
    return tuple(values)


def _json(path: Path, text: str, problems: list[Problem]) -> Iterator[Entry]:
    """Entries of a dataset.json; none for {"labels": null}."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", 1)
        reason = getattr(error, "msg", str(error))
        problems.append(_at(path, line, f"not readable as JSON ({reason}); {JSON_FORM}"))
        return
    if not isinstance(content, dict) or "labels" not in content:
        problems.append(_at(path, 1, f"found no `labels`, {JSON_FORM}"))
        return
    labels = content["labels"]
    if labels is None:
        return
    if not isinstance(labels, list):
        problems.append(_at(path, 1, f"`labels` is a {type(labels).__name__}, {JSON_FORM}"))
        return
    if not labels:
        problems.append(_at(path, 1, f"`labels` is empty, {JSON_FORM}, or null for no labels"))
    for line, entry in zip(_lines(text, labels), labels, strict=True):
        match entry:
            case [str(name), value]:
                yield Entry(line, name, _json_value(path, line, name, value, problems))
            case _:
                shown = json.dumps(entry)[:60]
                problems.append(_at(path, line, f'found {shown}, expected ["name.png", label]'))


def _json_value(
    path: Path, line: int, name: str, value: Any, problems: list[Problem]
) -> Value | None:
    def number(x: Any) -> bool:
        return isinstance(x, int | float) and not isinstance(x, bool) and abs(x) < MOST

    if number(value) and isinstance(value, int) and value >= 0:
        return value
    if isinstance(value, list) and value and all(number(x) for x in value):
        return tuple(float(x) for x in value)
    shown = json.dumps(value)[:60]
    sentence = (
        f"found label {shown} for {name!r}, expected a class number (0, 1, 2, …) or a list of "
        "finite numbers"
    )
    problems.append(_at(path, line, sentence))
    return None


def _lines(text: str, labels: list[Any]) -> list[int]:
    """The line on which each entry of `labels` begins; the text is known to be JSON."""
    for start in re.finditer(r'"labels"\s*:\s*\[', text):
        with contextlib.suppress(ValueError, IndexError):  # another key of that name
            return _lines_from(text, start.end(), labels)
    return [1] * len(labels)  # the key is spelt with escapes


def _lines_from(text: str, place: int, labels: list[Any]) -> list[int]:
    """Raises ValueError or IndexError when these are not the entries that begin at `place`."""
    decoder, line, seen, found = json.JSONDecoder(), 1, 0, []
    for entry in labels:
        while text[place] in " \t\r\n,":
            place += 1
        line, seen = line + text.count("\n", seen, place), place
        found.append(line)
        value, place = decoder.raw_decode(text, place)
        if repr(value) != repr(entry):  # as text, since NaN is not equal to itself
            raise ValueError
    return found


def _mismatches(path: Path, entries: list[Entry], names: Sequence[str]) -> list[Problem]:
    """Names that occur twice or not at all, images without a label, labels of different kinds."""
    known = set(names)
    first: dict[str, Entry] = {}
    problems = []
    kind = entries[0].value if entries else None
    for entry in entries:
        if entry.name not in known:
            sentence = f"found no image {entry.name!r} in {path.parent}, expected its path from "
            problems.append(_at(path, entry.line, sentence + "there, with `/` and its suffix"))
        elif first.setdefault(entry.name, entry) is not entry:
            sentence = f"{entry.name!r} occurs again (first in line {first[entry.name].line})"
            problems.append(_at(path, entry.line, f"{sentence}, expected once: remove one"))
        elif _form(entry.value) != _form(kind):
            sentence = f"found {_form(entry.value)}, expected {_form(kind)} as in line "
            problems.append(_at(path, entry.line, f"{sentence}{entries[0].line}"))
    for name in names:
        if name not in first:
            sentence = f"found no label of image {name!r}, expected one for every image"
            problems.append(Problem("error", str(path), sentence))
    return problems


def _form(value: Value | None) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} values"
    return "a class number"


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
    problems = []
    unused = sorted(set(range(count)) - set(numbers))
    if unused:
        shown = ", ".join(map(str, unused[:LISTED])) + (" …" if len(unused) > LISTED else "")
        sentence = f"no image has class {shown}; classes count from 0 to {numbers[-1]}"
        problems.append(Problem("warning", str(path), sentence))
    vectors = {e.name: _one_hot(e.value, count) for e in entries if isinstance(e.value, int)}
    return Labels(vectors, tuple(map(str, range(count))), tuple(problems))


def _one_hot(number: int, count: int) -> tuple[float, ...]:
    return tuple(float(i == number) for i in range(count))


def _at(path: Path, line: int, sentence: str) -> Problem:
    return Problem("error", f"{path}, line {line}", sentence)


def _shortened(problems: Iterable[Problem]) -> list[Problem]:
    """At most LISTED problems, and one that counts the rest."""
    whole = list(problems)
    if len(whole) <= LISTED + 1:
        return whole
    rest = f"and {len(whole) - LISTED} more problems with labels"
    return [*whole[:LISTED], Problem("error", whole[0].file.split(", line")[0], rest)]
