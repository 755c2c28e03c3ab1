"""What months of retraining leave on the disk: so many versions, and nothing that only older ones
needed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vesselforge.engine.sinks.board import board_folder
from vesselforge.engine.sinks.stagelog import log_file
from vesselforge.engine.store import Store
from vesselforge.pipeline.models.registry import Line, Version, lines
from vesselforge.pipeline.record import RECORD, record_of, run_folder

CACHED = 32
"""Files of features of real images that stay, the newest; each is made again when missed."""
SERVED = 2
"""The champion and the one that a rollback returns to are always kept."""


def prune(workspace: Path, line: Line, keep: int) -> int:
    """Forget the models of old versions, delete their runs and the artifacts that nobody else
    names: no run's record, no kept version of any line. Returns how many artifacts went.

    Scores and verdicts of old versions stay in the line, which the caller writes. Raises
    WorkspaceError, and deletes nothing, when any run's record cannot be read.
    """
    numbers = sorted(version.number for version in line.versions)
    kept = {*numbers[-keep:], *line.champions[-SERVED:]}
    old = [v for v in line.versions if v.number not in kept and v.model is not None]
    others = [v for each in lines(workspace) if each.name != line.name for v in each.versions]
    needed = _artifacts([*others, *(v for v in line.versions if v not in old)])
    pruned = {version.run for version in old}
    for file in (workspace / "runs").glob(f"*/{RECORD}"):
        if file.parent.name not in pruned:
            needed |= set(named_by(record_of(file.parent)))
    gone = _artifacts(old) - needed
    for version in old:
        shutil.rmtree(run_folder(workspace, version.run), ignore_errors=True)
        version.model, version.artifacts, version.trained_on = None, [], []
    for address in sorted(gone):
        Store(workspace).remove(*address)
        # What nobody can look up any more.
        log_file(workspace, *address).unlink(missing_ok=True)
        shutil.rmtree(board_folder(workspace, *address), ignore_errors=True)
    cached = (workspace / "cache" / "features").glob("*.safetensors")
    for file in sorted(cached, key=lambda file: file.stat().st_mtime)[:-CACHED]:
        file.unlink(missing_ok=True)
    return len(gone)


def _artifacts(versions: Iterable[Version]) -> set[tuple[str, str]]:
    return {(kind, digest) for version in versions for kind, digest in version.artifacts}


def named_by(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every artifact that a run's record names: whatever role it has, a step made or found it."""
    return [(step["kind"], step["digest"]) for step in record["steps"]]
