"""Real commands in real processes, and what is left of them: what the benchmarks use, too."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from typer.testing import Result

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
    "Said",
    "Undisturbed",
    "contents",
    "environment",
    "family",
    "free_port",
    "manifests",
    "overrides",
    "record",
    "refusal",
    "run",
    "running",
    "tiny",
    "until",
]


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Undisturbed:
    """A whole tiny run from an empty workspace and an empty HOME, and what it said."""

    workspace: Path
    home: Path
    said: Said


def refusal(said: Result | subprocess.CompletedProcess[str]) -> str:
    """The one line in which a command has refused; checks that it has."""
    status = said.exit_code if isinstance(said, Result) else said.returncode
    assert status == 2, said.stderr
    assert said.stdout == ""
    assert "Traceback" not in said.stderr
    errors = [line for line in said.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and said.stderr.splitlines()[-1] == errors[0]
    return errors[0]
