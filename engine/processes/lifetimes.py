"""Processes that never outlive the one that started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3


def die_with_parent(number: signal.Signals) -> None:
    """Linux: this process gets the signal when its parent's thread ends. Elsewhere nothing."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)


def stop_group(process: subprocess.Popen[str], grace: float) -> None:
    """SIGTERM to a session leader, then SIGKILL to all that is left of its group."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def keep_freed_memory() -> bool:
    """glibc: this process keeps memory that it frees, for its next large temporary. True if so.

    By default it goes back to the system and is paged in anew, zeroed: 30,000 page faults, a
    quarter of the time, for a SA-UNet and an image of 592². Stages get the same by
    `child.ENVIRONMENT`. A user's own MALLOC_… settings come first.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc
        return False
    values = {M_MMAP_THRESHOLD: 2**30, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 2**26}
    return all(mallopt(parameter, value) == 1 for parameter, value in values.items())
