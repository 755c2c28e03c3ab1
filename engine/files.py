"""Files and folders that are whole or not there, on disk and for other machines too; hashes."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import ConfigError, WorkspaceError


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to; it replaces `path` when the block succeeds. It is
    drawn anew each time, so that writers of the same file do not meet in it, and no longer than
    file systems allow where that of `path` is not."""
    aside = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.tmp")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as aside, aside.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def write_csv(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    """Atomic CSV of rows, the names of the columns first; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_atomic(path, text.getvalue())


def write_json(path: Path, value: Any) -> None:
    """Atomic, sorted, NaN-free JSON."""
    write_atomic(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def refuse_to_overwrite(out: Path, what: str, marks: Iterable[str], force: bool) -> None:
    """Raise ConfigError where a folder cannot be written, or may not be without force.

    what: `model`, `generator`; marks: names of files that each make a folder one of those."""
    if any((out / name).is_file() for name in marks):
        if not force:
            raise ConfigError(
                f"{out}: holds a {what} already; choose another name, or give --force"
            )
    elif any(out.iterdir()) if out.is_dir() else out.exists() or out.is_symlink():
        raise ConfigError(f"{out}: exists and is no {what}'s folder; choose another name")


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A new folder beside `out` to write to, which takes its place when the block succeeds. Raises
    WorkspaceError when it cannot be written; what was there before then stays."""
    out = out.absolute()
    mark = secrets.token_hex(4)
    aside, old = (out.with_name(f".{out.name}.{mark}.{end}") for end in ("tmp", "old"))
    try:
        aside.mkdir(parents=True)
        yield aside
        if out.exists():
            out.rename(old)
        aside.rename(out)
    except OSError as error:
        if old.exists() and not out.exists():
            old.rename(out)
        raise WorkspaceError(
            f"{error.filename or out}: cannot be written ({error.strerror or error})"
        ) from error
    finally:
        for folder in (aside, old):
            shutil.rmtree(folder, ignore_errors=True)


def sync(path: Path) -> None:
    """A file's bytes, or a folder's names, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link_file(source: Path, target: Path) -> None:
    """The same bytes under another name; a hard link costs no disk (artifacts never change)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
