"""A folder that is written whole or not at all."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from configs.errors import WorkspaceError


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
