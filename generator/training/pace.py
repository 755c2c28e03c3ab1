"""How fast a training is and what it takes, which no artifact holds: the same work has the same
files, however long it took. Times go to the progress line and to a file beside the checkpoints."""

from __future__ import annotations

import contextlib
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

FILE = "pace.jsonl"
QUIET_S = 10.0
"""Longest silence between two updates of the progress line, in which a tick may not end."""
SHARE = 0.02
"""Share of the time that checkpoints may take."""
FREE_S = 0.2
"""A checkpoint as quick as this is always written when due."""


class Pace:
    """Measures steps between ticks, and everything that is not a step."""

    def __init__(self, device: torch.device, folder: Path | None) -> None:
        """folder: where pace.jsonl is appended to; None: it is not."""
        self._device = device
        self._folder = folder
        now = time.monotonic()
        self._tick_at = self._spoke_at = self._saved_at = now
        self._aside = {"bookkeeping": 0.0, "snapshots": 0.0}
        self._save_took = 0.0
        self._kimg = 0.0

    def shown(self, images: int) -> None:
        """Count the images of a step."""
        self._kimg += images / 1000

    def tick(self, step: int) -> dict[str, float]:
        """Return seconds per kimg since the last tick, snapshots aside, the peak of memory in GiB,
        and bookkeeping's share of the time; start anew."""
        now = time.monotonic()
        whole, snapshots = now - self._tick_at, self._aside["snapshots"]
        training = max(whole - snapshots, 1e-9)
        found = {
            "s_per_kimg": training / max(self._kimg, 1e-9),
            "GiB": peak_memory(self._device) / 2**30,
            "bookkeeping": self._aside["bookkeeping"] / training,
        }
        self._tick_at, self._kimg = now, 0.0
        self._aside = dict.fromkeys(self._aside, 0.0)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            entry = {"step": step, "snapshot_s": snapshots, **found}
            with (self._folder / FILE).open("a") as stream:
                stream.write(json.dumps({k: round(v, 4) for k, v in entry.items()}) + "\n")
        return found

    @contextlib.contextmanager
    def aside(self, what: str) -> Iterator[None]:
        """Time a block that is no step: "bookkeeping" or "snapshots"."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._aside[what] += time.monotonic() - began

    @contextlib.contextmanager
    def saving(self, what: str) -> Iterator[None]:
        """Time a checkpoint, which is bookkeeping or part of a snapshot."""
        began = time.monotonic()
        with self.aside(what):
            yield
        self._saved_at = time.monotonic()
        self._save_took = self._saved_at - began

    def may_save(self) -> bool:
        """Whether another checkpoint would keep to its share of the time."""
        since = time.monotonic() - self._saved_at
        return self._save_took <= FREE_S or self._save_took <= SHARE * since

    def quiet(self) -> bool:
        """Whether nothing was said for a while; the caller says something now."""
        now = time.monotonic()
        if now - self._spoke_at < QUIET_S:
            return False
        self._spoke_at = now
        return True


def peak_memory(device: torch.device) -> int:
    """Return the most bytes in use so far: of the device's allocator, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # Linux counts in KiB
