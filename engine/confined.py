"""Names that files give of other files: they lead no further than the folder they speak of."""

from __future__ import annotations

from pathlib import Path

from vesselforge.configs.errors import WorkspaceError


def inside(folder: Path, name: object, named_in: Path) -> Path:
    """The path of a file that another file names, relative to `folder`.

    named_in: the file that does, for the message. Raises WorkspaceError for what is no relative
    path with `/`, has a part `..`, or leads out of the folder through a symbolic link. Nothing has
    to be there.
    """
    parts = name.split("/") if isinstance(name, str) else [""]
    path = folder.joinpath(*parts) if all(map(_is_plain, parts)) else None
    if path is None or not path.resolve().is_relative_to(folder.resolve()):
        raise WorkspaceError(
            f"{named_in}: found the file name {_shown(name)}, expected a path that stays inside "
            f"{folder}; copy the folder again from where it was made"
        )
    return path


def plain_name(name: object, what: str) -> str:
    """The name of one file or folder, as it is. what: how the message begins.

    Raises WorkspaceError for anything with a `/` in it, for `.`, `..` and what is no text."""
    if isinstance(name, str) and _is_plain(name) and "/" not in name:
        return name
    raise WorkspaceError(
        f"{what}: found {_shown(name)}, expected the name of a folder; the file was changed by "
        "hand or is damaged: run the command that wrote it again"
    )


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..") and part.isprintable()


def _shown(name: object) -> str:
    text = repr(name)
    return text if len(text) <= 80 else f"{text[:77]}…"
