"""`python forked_acts.py SOCKET`: a fork server whose children do what they are told."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time


def work() -> None:
    do = sys.stdin.read()
    if do in ("leave", "fall", "die"):
        atexit.register(print, "an exit function")
    globals()[do]()


def look() -> None:
    loaded = "loaded" if "forked_module" in sys.modules else "missing"
    told = (os.getppid(), os.getpid(), loaded, os.getsid(0), os.environ.get("LATE"))
    print(*told, sep="\n")


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


if __name__ == "__main__":
    from vesselforge.engine.processes.forking import serve

    serve(int(sys.argv[1]), work)
