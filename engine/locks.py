"""One process at a time, on this machine or on another one that shares the folder."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.progress import Interrupted, Progress

POLL_S = 0.2
"""Between two looks at a lock that another process has, and at the request to stop."""
UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system answers that has no locks, or whose lock service is off."""


@contextmanager
def locked(path: Path, progress: Progress, waiting: str) -> Iterator[None]:
    """Hold the lock of this file; the kernel frees it when its holder dies. waiting: said once when
    another process has it. Raises Interrupted when asked to stop while waiting, WorkspaceError
    where files have no locks."""
    said = False
    while True:
        with path.open("w") as stream:
            # Its last holder may have deleted the file: then this lock is nobody else's, and void.
            if taken(stream, fcntl.LOCK_EX, path) and _is_at(stream, path):
                yield
                return
        if not said:
            progress.message(waiting)
            said = True
        if progress.stop_requested:
            raise Interrupted(f"stopped while {waiting}")
        time.sleep(POLL_S)


def _is_at(stream: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.stat())
    except FileNotFoundError:
        return False


def taken(stream: IO[Any], how: int, where: Path) -> bool:
    """Whether a lock of this open file was got at once. how: fcntl.LOCK_EX or LOCK_SH.

    where: for the message. Raises WorkspaceError where the file system has no locks."""
    try:
        fcntl.flock(stream, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        raise WorkspaceError(
            f"{where}: this file system has no file locks ({os.strerror(error.errno)}), and "
            "without them two processes could write the same artifact at once; give --workspace "
            "or set VESSELFORGE_WORKSPACE to a local disk or NFS version 4"
        ) from error
    return True
