"""What months of retraining leave on the disk: so many versions, and nothing that only older ones
needed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vesselforge.engine.sinks.board import board_folder
from vesselforge.engine.sinks.stagelog import log_file
from vesselforge.engine.store import Store
from vesselforge.pipeline.models.registry import Line, Version, lines
from vesselforge.pipeline.record import RECORD, Reference, record_of, run_folder

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
    needed = _named_by([*others, *(v for v in line.versions if v not in old)])
    pruned = {version.run for version in old}
    for file in (workspace / "runs").glob(f"*/{RECORD}"):
        if file.parent.name not in pruned:
            needed |= set(map(tuple, references_in(record_of(file.parent))))
    gone = _named_by(old) - needed
    for version in old:
        shutil.rmtree(run_folder(workspace, version.run), ignore_errors=True)
        version.model, version.artifacts, version.trained_on = None, [], []
    store = Store(workspace)
    for kind, digest in sorted(gone):
        store.remove(kind, digest)
        _forget(workspace, kind, digest)
    cached = (workspace / "cache" / "features").glob("*.safetensors")
    for file in sorted(cached, key=lambda file: file.stat().st_mtime)[:-CACHED]:
        file.unlink(missing_ok=True)
    return len(gone)


def _named_by(versions: Iterable[Version]) -> set[tuple[str, ...]]:
    return {tuple(reference) for version in versions for reference in version.artifacts}


def _forget(workspace: Path, kind: str, digest: str) -> None:
    """The log of a stage and TensorBoard's view of it, which nobody can look up any more."""
    log_file(workspace, kind, digest).unlink(missing_ok=True)
    shutil.rmtree(board_folder(workspace, kind, digest), ignore_errors=True)


def references_in(record: dict[str, Any]) -> list[Reference]:
    """Every artifact that a run's record names, in whichever place."""
    found: list[Reference] = [[s["kind"], s["digest"]] for s in record.get("steps", [])]
    pending: list[Any] = [record.get("artifacts", {}), record.get("arms", [])]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value):
            found.append(value)
        elif isinstance(value, list):
            pending += value
    return found
