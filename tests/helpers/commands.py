"""Real commands in real processes, and what is left of them: what the benchmarks use, too."""

from __future__ import annotations

from benchmarks.reliability.pipeline import contents, manifests, overrides, record, tiny
from benchmarks.reliability.processes import (
    REPOSITORY,
    environment,
    family,
    free_port,
    run,
    running,
    until,
)

__all__ = [
    "REPOSITORY",
    "contents",
    "environment",
    "family",
    "free_port",
    "manifests",
    "overrides",
    "record",
    "run",
    "running",
    "tiny",
    "until",
]
