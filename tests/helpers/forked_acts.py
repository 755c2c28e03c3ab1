"""What forked children do in test_forked.py."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

LOADED_BY = os.getpid()


def act(name: str) -> None:
    ACTS[name]()


def look() -> None:
    late = os.environ.get("LATE")
    print(os.getppid(), os.getpid(), LOADED_BY, late, len(os.environ.get("LONG", "")), sep="\n")


def leave() -> None:
    sys.exit(7)


def fall() -> None:
    raise ZeroDivisionError("one by nought")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    print(os.getpid(), os.getppid(), flush=True)
    while True:
        time.sleep(0.05)


def compute() -> None:
    import numpy as np
    import torch

    print(torch.get_num_threads(), "threads")
    image = torch.rand(4, 16, 128, 128, requires_grad=True)
    weight = torch.rand(16, 16, 3, 3, requires_grad=True)
    torch.nn.functional.conv2d(image, weight).square().sum().backward()  # type: ignore[no-untyped-call]
    matrix = np.ones((600, 600))
    assert (matrix @ matrix)[0, 0] == 600  # by OpenBLAS' own threads
    print("done")


ACTS: dict[str, Callable[[], None]] = {
    one.__name__: one for one in (look, leave, fall, die, wait, compute)
}
