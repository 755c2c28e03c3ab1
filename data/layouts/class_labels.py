"""Labels of images for a conditional generator: folders as classes, labels.csv or dataset.json.

The first fault of a file is said with its line (or entry, of JSON).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import composed
from vesselforge.data.layouts.own_splits import read_csv
from vesselforge.engine.documents import read_valid

CSV, JSON = "labels.csv", "dataset.json"
CSV_FORM = "expected a header `name,label` (class numbers) or `name,l1,l2,…` (values)"
JSON_FORM = '{"labels": [["name.png", 0], …]} with class numbers or lists of values, or null'
MOST_CLASSES = 1000
"""Class numbers above this are most likely years or identifiers when half of them are not used."""
Value = Annotated[float, Field(gt=-1e30, lt=1e30, allow_inf_nan=False)]
Label = Annotated[int, Field(ge=0, lt=2**31)] | Annotated[tuple[Value, ...], Field(min_length=1)]
"""A class number, or a vector."""
LABEL: TypeAdapter[int | tuple[float, ...]] = TypeAdapter(Label)

Labels = tuple[dict[str, tuple[float, ...]], tuple[str, ...]]
"""Image's name relative to the root → label, and the classes' names where labels are one-hot; both
empty when there are none."""


class _Json(BaseModel):
    labels: Annotated[list[tuple[str, Any]], Field(min_length=1)] | None


def read_labels(root: Path, names: Sequence[str]) -> Labels:
    """The labels of the images `names` (relative to `root`, with `/`).

    From dataset.json or labels.csv, whichever lies in `root`; else from sub-folders, when every
    image is in one and there are at least two; else there are none. Raises DataError for a faulty
    file, and when there are both.
    """
    paths = [root / name for name in (CSV, JSON) if (root / name).is_file()]
    if len(paths) == 2:
        raise DataError(f"{root}: found {CSV} and {JSON}, expected one: remove the other")
    if not paths:
        folders = {name: PurePosixPath(name).parts[0] for name in names if "/" in name}
        classes = sorted(set(folders.values()))
        if len(folders) < len(names) or len(classes) < 2:
            return {}, ()
        return _one_hot({name: classes.index(of) for name, of in folders.items()}, classes)
    if paths[0].name == CSV:
        entries = _listed(read_csv(paths[0]))
    else:
        labels = read_valid(paths[0], _Json, JSON_FORM, DataError).labels
        if labels is None:
            return {}, ()
        entries = ((f"entry {number}", *entry) for number, entry in enumerate(labels, start=1))
    try:
        return _matched(entries, names)
    except DataError as error:
        raise DataError(f"{paths[0]}: {error}") from None


def _listed(rows: list[tuple[int, list[str]]]) -> Iterator[tuple[str, str, Any]]:
    """(line, name, text of a number or of a list of them) of a labels.csv."""
    header = [cell.lower() for cell in rows[0][1]] if rows else []
    if len(header) < 2 or header[0] != "name":
        raise DataError(f"found the header {','.join(header)!r}, {CSV_FORM}")
    for number, cells in rows[1:]:
        where = f"line {number}"
        if len(cells) != len(header):
            raise DataError(
                f"{where}: found {len(cells)} cells, expected {len(header)} as the header has"
            )
        yield where, cells[0], cells[1] if header[1:] == ["label"] else cells[1:]


def _matched(entries: Iterator[tuple[str, str, Any]], names: Sequence[str]) -> Labels:
    """All of one kind, class numbers as one-hot vectors, for every image."""
    values: dict[str, int | tuple[float, ...]] = {}
    known = {composed(name): name for name in names} | {name: name for name in names}
    for where, told, raw in entries:
        try:
            value = LABEL.validate_python(raw)
        except ValidationError:
            raise DataError(
                f"{where}: found label {json.dumps(raw)[:60]}, expected a class number (0, 1, 2, "
                "…), or finite numbers (of a CSV, in columns that are not called `label`)"
            ) from None
        name = known.get(told) or known.get(composed(told))
        if name is None:
            raise DataError(
                f"{where}: found no image {told!r} in this folder, expected its path from here, "
                "with `/` and its suffix"
            )
        if name in values:
            raise DataError(f"{where}: {name!r} occurs again, expected once: remove one")
        values[name] = value
        first = next(iter(values.values()))
        if _form(value) != _form(first):
            expected = f"expected {_form(first)} as in the first entry"
            raise DataError(f"{where}: found {_form(value)}, {expected}")
    if missing := [name for name in names if name not in values]:
        more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
        raise DataError(
            f"found no label of image {missing[0]!r}{more}, expected one for every image"
        )
    numbers = {name: value for name, value in values.items() if isinstance(value, int)}
    if not numbers:
        return {name: value for name, value in values.items() if isinstance(value, tuple)}, ()
    count, used = max(numbers.values()) + 1, len(set(numbers.values()))
    if count > MOST_CLASSES and count > 2 * used:
        raise DataError(
            f"found class number {count - 1} among {used} different ones, expected them to count "
            "from 0: number the classes 0, 1, 2, …"
        )
    return _one_hot(numbers, range(count))


def _form(value: int | tuple[float, ...]) -> str:
    return f"{len(value)} values" if isinstance(value, tuple) else "a class number"


def _one_hot(numbers: dict[str, int], classes: Sequence[object]) -> Labels:
    """numbers: image → place of its class among `classes`."""
    rows = [tuple(float(i == number) for i in range(len(classes))) for number in numbers.values()]
    return dict(zip(numbers, rows, strict=True)), tuple(map(str, classes))
