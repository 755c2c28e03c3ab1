"""Ways of doing the same, timed in turns, some of them in processes with another environment.

Turns: so that a busy moment of the machine hits all ways. Processes: glibc's and OpenMP's settings
belong to a process, and the yardstick must have the defaults.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

MIN_ROUNDS = 2
PAUSE_S = 0.02
"""Between runs, while OpenMP's threads of the one before fall asleep."""
Run = Callable[[], float | None]
"""Does it once; the seconds it took, or None: the caller's clock counts."""
Rows = list[dict[str, Any]]


class Worker:
    """A process that holds ways of doing things and does one when told.

    module: run as `python -m module JSON`; its main calls `serve`. environment: added to ours.
    """

    def __init__(self, module: str, spec: Mapping[str, Any], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(spec)],
            env=dict(os.environ) | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.names: list[str] = json.loads(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with {self.process.wait()}; see above")
        return line

    def ways(self) -> dict[str, Run]:
        return {name: partial(self._run, name) for name in self.names}

    def _run(self, name: str) -> float:
        assert self.process.stdin is not None
        print(name, file=self.process.stdin, flush=True)
        return float(self._line())

    def close(self) -> None:
        self.process.communicate()


def serve(ways: Mapping[str, Run]) -> None:
    """Be a Worker: say the names, then run what each line of standard input names."""
    print(json.dumps(list(ways)), flush=True)
    for line in sys.stdin:
        print(timed(ways[line.rstrip("\n")]), flush=True)


def timed(way: Run) -> float:
    """Seconds of one run."""
    _wait()
    start = time.perf_counter()
    own = way()
    _wait()
    return time.perf_counter() - start if own is None else own


def _wait() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def take_turns(ways: Mapping[str, Run], seconds: float) -> Rows:
    """One row a way: the shortest and the median time, ratios to the first way, how often.

    As many rounds as fit `seconds`, and at least two; the first before them is not counted.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        timed(way)
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < MIN_ROUNDS or time.perf_counter() < end:
        for name, way in ways.items():
            time.sleep(PAUSE_S)
            found[name].append(timed(way))
        rounds += 1
    first = next(iter(found.values()))
    return [
        {
            "way": name,
            "least": min(times),
            "median": statistics.median(times),
            "rounds": rounds,
            "ratio": min(first) / min(times),
            "ratio_of_medians": statistics.median(first) / statistics.median(times),
        }
        for name, times in found.items()
    ]
