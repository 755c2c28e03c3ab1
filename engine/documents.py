"""JSON files of ours, read as if a stranger had written them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from vesselforge.configs.errors import UserError, WorkspaceError

T = TypeVar("T")
MOST_BYTES = 200_000_000
"""Of one file; the index of 100 000 images has a tenth of it."""


def read_object(
    path: Path, expected: str, error: type[UserError] = WorkspaceError
) -> dict[str, Any]:
    """The JSON object in a file.

    expected: what the file should be and what to do, the end of the message. Raises `error`, naming
    the file, when there is none, when it cannot be read and when it holds anything else.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes")
        return parse_object(path.read_text(encoding="utf-8"))
    except OSError as reason:
        raise error(f"{path}: cannot be read ({reason.strerror}); expected {expected}") from None
    except ValueError as reason:
        raise error(f"{path}: {_in_words(reason)}; expected {expected}") from None


def read_valid(
    path: Path, kind: type[T], expected: str, error: type[UserError] = WorkspaceError
) -> T:
    """The JSON object in a file as what Pydantic makes of it. Raises as `read_object`, also for an
    object that does not fit, naming where."""
    found = read_object(path, expected, error)
    try:
        return TypeAdapter(kind).validate_python(found)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise error(f"{path}: {where}: {first['msg']}; expected {expected}") from None


def parse_object(text: str) -> dict[str, Any]:
    """The JSON object in a text; ValueError for anything else."""
    found = parse(text)
    if not isinstance(found, dict):
        raise ValueError(f"found a JSON {type(found).__name__}, not an object")
    return found


def parse(text: str) -> Any:
    """The JSON value in a text; ValueError for what is none, or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _in_words(reason: ValueError) -> str:
    if isinstance(reason, UnicodeDecodeError):
        return f"not UTF-8 text (byte {reason.start})"
    if isinstance(reason, json.JSONDecodeError):
        return f"not readable as JSON ({reason.msg}, line {reason.lineno})"
    return str(reason).split(";")[0]


def flat(
    values: Mapping[str, Any], prefix: str = "", lists: bool = False
) -> Iterator[tuple[str, Any]]:
    """Nested values as dotted names with plain ones, in order. lists: with those, too."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.", lists)
        elif lists or not isinstance(value, list):
            yield f"{prefix}{name}", value


def records(value: Any) -> list[dict[str, Any]]:
    """The objects of a JSON list; [] when it is no list."""
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []
