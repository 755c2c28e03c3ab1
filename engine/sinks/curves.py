"""The log of a training as curves: which points there are, and which of them still count."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vesselforge.engine.documents import flat

PLACES = ("step", "kimg", "from_step")
"""Where a line of the log stands, which is no curve."""
LARGEST = 3.4028234e38
"""Of single precision."""


@dataclass(frozen=True)
class Point:
    """Tag → value of one line of a log."""

    step: int
    values: dict[str, float]


def surviving(entries: Iterable[dict[str, Any]]) -> list[Point]:
    """The log as curves: without what a collapsed training has gone back behind."""
    path: list[Point] = []
    for entry in entries:
        while path and path[-1].step > entry["step"]:
            path.pop()
        values = scalars(entry)
        if values:
            path.append(Point(entry["step"], values))
    return path


def scalars(entry: Mapping[str, Any]) -> dict[str, float]:
    """Tag → value, of single precision as in event files, of every finite number of a line."""
    found = {}
    for name, value in flat({k: v for k, v in entry.items() if k not in PLACES}):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and abs(value) <= LARGEST:
            found[name.replace(".", "/")] = struct.unpack("f", struct.pack("f", value))[0]
    return found
