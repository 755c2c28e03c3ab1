"""JSON files of ours, read as if a stranger had written them; and the names that they give of
other files, which lead no further than the folder they speak of."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from vesselforge.configs.errors import UserError, WorkspaceError

T = TypeVar("T")
MOST_BYTES = 200_000_000
"""Of one file; the index of 100 000 images has a tenth of it."""


def read_object(
    path: Path,
    expected: str,
    error: type[UserError] = WorkspaceError,
    fields: Mapping[str, type] | None = None,
) -> dict[str, Any]:
    """The JSON object in a file, see `read_valid`. fields: name → type of what has to be in it."""
    found = read_valid(path, dict[str, Any], expected, error)
    for name, kind in (fields or {}).items():
        if not isinstance(found.get(name), kind):
            raise error(f"{path}: {name}: found no {kind.__name__}; expected {expected}")
    return found


def read_valid(
    path: Path, kind: type[T], expected: str, error: type[UserError] = WorkspaceError
) -> T:
    """The JSON in a file as what Pydantic makes of it.

    expected: what the file should be and what to do, the end of the message. Raises `error`, naming
    the file, when there is none, when it cannot be read and when it holds anything else.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise error(f"{path}: more than {MOST_BYTES:,} bytes; expected {expected}")
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except OSError as reason:
        raise error(f"{path}: cannot be read ({reason.strerror}); expected {expected}") from None
    except ValidationError as wrong:
        first = wrong.errors()[0]
        where = ".".join(map(str, first["loc"]))
        found = f"{where}: {first['msg']}, found {repr(first['input'])[:60]}"
        what = found if where else first["msg"]
        raise error(f"{path}: {what}; expected {expected}") from None


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


def texts(value: Any) -> list[str]:
    """The texts of a JSON list; [] when it is no list."""
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def spelled(name: object) -> str:
    """A name as it can be written anywhere: control characters and bytes that are no UTF-8 become
    \\n or \\udce9."""
    return "".join(c if is_plain(c) else repr(c)[1:-1] for c in str(name))


def is_plain(name: str) -> bool:
    """Whether a name is UTF-8 text without control characters; any space, sign or script will do,
    whether or not it can be printed."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in name)


def inside(folder: Path, name: object, named_in: Path) -> Path:
    """The path of a file that another file names, relative to `folder`; nothing has to be there.

    named_in: the file that does, for the message. Raises WorkspaceError for what is no relative
    path with `/`, has a part `..`, or leads out of the folder through a symbolic link.
    """
    parts = name.split("/") if isinstance(name, str) else [""]
    plain = all(part not in ("", ".", "..") and is_plain(part) for part in parts)
    path = folder.joinpath(*parts) if plain else None
    if path is None or not path.resolve().is_relative_to(folder.resolve()):
        raise WorkspaceError(
            f"{named_in}: found the file name {name!r:.80}, expected a path that stays inside "
            f"{folder}; copy the folder again from where it was made"
        )
    return path
