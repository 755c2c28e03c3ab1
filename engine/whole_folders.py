"""Folders that are there whole or not at all, on disk and for other machines too."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from vesselforge.configs.errors import WorkspaceError


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A new folder beside `out` to write to, which takes its place when the block succeeds.

    Raises WorkspaceError when it cannot be written; what was there before then stays.
    """
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


def renamed(folder: Path, target: Path) -> bool:
    """Rename, unless the target has something in it. True if done.

    The file system is tried rather than asked: a client of NFS may believe for a minute that what
    another machine has renamed is not there.
    """
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def sync(path: Path) -> None:
    """A file's bytes, or a folder's names, are on disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
