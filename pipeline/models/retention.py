"""What months of retraining leave on the disk: so many versions, and nothing that only older ones
needed."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
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
    candidates = {tuple(reference) for version in old for reference in version.artifacts}
    others = [v for each in lines(workspace) if each.name != line.name for v in each.versions]
    needed = set(_of_versions([*others, *(v for v in line.versions if v not in old)]))
    needed |= set(_of_runs(workspace, {version.run for version in old}))
    for version in old:
        shutil.rmtree(run_folder(workspace, version.run), ignore_errors=True)
        version.model, version.artifacts, version.trained_on = None, [], []
    gone = candidates - needed
    store = Store(workspace)
    for kind, digest in sorted(gone):
        store.remove(kind, digest)
        _forget(workspace, kind, digest)
    _trim(workspace / "cache" / "features")
    return len(gone)


def _forget(workspace: Path, kind: str, digest: str) -> None:
    """The log of a stage and TensorBoard's view of it, which nobody can look up any more."""
    log_file(workspace, kind, digest).unlink(missing_ok=True)
    shutil.rmtree(board_folder(workspace, kind, digest), ignore_errors=True)


def _of_versions(versions: Iterable[Version]) -> Iterable[tuple[str, ...]]:
    return (tuple(reference) for version in versions for reference in version.artifacts)


def _of_runs(workspace: Path, but: Collection[str]) -> Iterable[tuple[str, ...]]:
    for file in (workspace / "runs").glob(f"*/{RECORD}"):
        if file.parent.name not in but:
            yield from map(tuple, references_in(record_of(file.parent)))


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


def _trim(cache: Path) -> None:
    files = sorted(cache.glob("*.safetensors"), key=lambda file: file.stat().st_mtime)
    for file in files[:-CACHED]:
        file.unlink(missing_ok=True)
