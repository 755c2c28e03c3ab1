"""The artifact store: a finished stage is a folder under the hash of what made it.

An artifact is whole or absent. A stage fills `<store>/<kind>/<digest>.partial/`; when it is done
the folder is hashed, synced and renamed. A killed stage leaves its partial folder behind, and the
same request later finds it there and goes on from the newest checkpoint in it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.artifacts import (
    MANIFEST,
    METRICS,
    SCHEMA,
    SCRATCH,
    Artifact,
    Inputs,
    Stage,
    address,
    read_artifact,
)
from vesselforge.engine.documents import inside
from vesselforge.engine.files import file_sha256, sync, write_atomic, write_json
from vesselforge.engine.locks import locked, taken
from vesselforge.engine.longer import drop_state, go_on, keep_state
from vesselforge.engine.progress import Progress, clock

LOCKS = ".locks"
PACKAGES = ("vesselforge", "torch", "numpy")
"""Those whose versions matter for a result."""

UNWRITABLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT
)  # fmt: skip
"""What the file system answers when a folder cannot be made or written there."""


class Store:
    """All artifacts of a workspace, `<workspace>/store/<kind>/<digest>/`."""

    def __init__(self, workspace: Path) -> None:
        self.root = workspace / "store"

    def open(self) -> Store:
        """Create the folders; raises WorkspaceError when they cannot be written or locked."""
        with explained(self.root):
            (self.root / LOCKS).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root / LOCKS) as probe:
                probe.write(b"x")  # a file without a name: a kill leaves nothing
                probe.flush()
                taken(probe, fcntl.LOCK_SH, self.root / LOCKS)
        return self

    def folder(self, kind: str, digest: str) -> Path:
        """Raises WorkspaceError for a kind or a digest that is no single folder's name."""
        for name in (kind, digest):
            if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
                raise WorkspaceError(
                    f"{self.root}: an artifact's address: found {name!r:.80}, expected the name of "
                    "a folder; the file that names it is damaged: run what wrote it again"
                )
        return self.root / kind / digest

    def find(self, kind: str, digest: str) -> Artifact | None:
        """The finished artifact, every file checked against its manifest, or None. A damaged one is
        moved aside to `<digest>.damaged` (its work is then done again)."""
        final = self.folder(kind, digest)
        if not (final / MANIFEST).is_file():
            return None
        try:
            return whole_artifact(final)
        except WorkspaceError as damage:
            aside = final.with_name(f"{digest}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            final.rename(aside)
            raise DamagedArtifact(
                f"{damage}; moved to {aside}: run the same command to make it again"
            ) from None

    def need(self, kind: str, digest: str) -> Artifact:
        """The same. Raises WorkspaceError where there is none."""
        found = self.find(kind, digest)
        if found is None:
            where = self.folder(kind, digest)
            raise WorkspaceError(f"{where}: this artifact is gone; run what made it again")
        return found

    def read(self, kind: str, digest: str) -> Artifact:
        """An artifact that was found or made a moment ago, its files not checked again."""
        return read_artifact(self.folder(kind, digest))

    def produce(
        self,
        stage: Stage,
        settings: BaseModel,
        inputs: Inputs,
        progress: Progress,
        outside: Mapping[str, str] | None = None,
    ) -> Artifact:
        """The artifact of this work: found, or made now, by one process at a time, resumable.

        outside: name → content hash of inputs that are not artifacts (a dataset folder). Raises
        Interrupted when asked to stop, be it while it waits for another process.
        """
        digests = {name: artifact.digest for name, artifact in inputs.items()} | dict(outside or {})
        digest = address(stage.kind, stage.version, settings, digests)
        with explained(self.root), self.lock(digest, progress):
            found = self.find(stage.kind, digest)
            if found is not None:
                return found
            partial = self.folder(stage.kind, f"{digest}.partial")
            if stage.outside is not None:  # what is there may be of files that have changed since
                shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True, exist_ok=True)
            for stray in partial.rglob(".*.tmp"):
                stray.unlink()
            final = self.folder(stage.kind, digest)
            go_on(stage, settings, digests, final, progress)
            spent = partial / SCRATCH / "seconds"  # in all attempts, and of what it goes on from
            started = time.time() - (float(spent.read_text()) if spent.is_file() else 0.0)
            try:
                stage.run(settings, inputs, partial, progress)
                stage.check_outside(settings, digests)
            finally:
                if spent.parent.is_dir():
                    write_atomic(spent, f"{time.time() - started:.2f}")
            manifest = {
                "schema": SCHEMA,
                "kind": stage.kind,
                "stage_version": stage.version,
                "digest": digest,
                "settings": settings.model_dump(mode="json"),
                "inputs": digests,
                "seconds": round(time.time() - started, 2),
                "finished": clock(),
                "versions": {package: version(package) for package in PACKAGES},
                "device": _device_of(settings),
            }
            return self._publish(partial, final, manifest)

    def _publish(self, partial: Path, final: Path, manifest: dict[str, Any]) -> Artifact:
        keep_state(partial, final)
        files = sorted(p for p in partial.rglob("*") if p.is_file() and p.name != MANIFEST)
        manifest["files"] = {str(p.relative_to(partial)): file_sha256(p) for p in files}
        metrics = partial / METRICS
        manifest["metrics"] = json.loads(metrics.read_text()) if metrics.is_file() else {}
        for path in files:
            sync(path)
        write_json(partial / MANIFEST, manifest)
        sync(partial)
        try:  # rather than to look: a client of NFS may not see for a minute what others renamed
            partial.rename(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if (final / MANIFEST).is_file():  # another machine's
                shutil.rmtree(partial)
                return read_artifact(final)
            shutil.rmtree(final)  # a folder without a manifest: nothing of value
            partial.rename(final)
        sync(final.parent)
        return Artifact(final, manifest)

    def remove(self, kind: str, digest: str) -> None:
        """Delete an artifact that nobody needs any more: for everyone else whole, then absent."""
        with explained(self.root), self.lock(digest, Progress()):
            final = self.folder(kind, digest)
            drop_state(final)
            aside = final.with_name(f"{digest}.removed")
            shutil.rmtree(aside, ignore_errors=True)  # of an attempt that was killed
            if final.is_dir():
                final.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
            (self.root / LOCKS / digest).unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self, digest: str, progress: Progress) -> Iterator[None]:
        """Only one process works on a digest, here or on a machine that shares the workspace."""
        folder = self.root / LOCKS
        folder.mkdir(parents=True, exist_ok=True)
        waiting = "waiting for another process that makes this artifact"
        with locked(folder / digest, progress, waiting):
            yield


def whole_artifact(folder: Path) -> Artifact:
    """The artifact in a folder. Raises WorkspaceError where it is not what its manifest says."""
    found = read_artifact(folder)
    for name, expected in found.manifest["files"].items():
        path = inside(folder, name, folder / MANIFEST)
        if not path.is_file():
            raise WorkspaceError(f"{path}: file is missing from a finished artifact")
        if file_sha256(path) != expected:
            raise WorkspaceError(f"{path}: content differs from the SHA-256 in its manifest")
    return found


class DamagedArtifact(WorkspaceError):
    """A finished artifact no longer matches its manifest."""


@contextlib.contextmanager
def explained(root: Path, named: bool = False) -> Iterator[None]:
    """Turn what the file system says into one message with a way out. named: `root` is a place
    that a command was given to write to, and none in the workspace."""
    try:
        yield
    except OSError as error:
        where = error.filename or root
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WorkspaceError(
                f"{where}: no space left in the workspace; free some, or give --workspace on a "
                "larger disk; finished stages and checkpoints are kept"
            ) from error
        if named and error.errno in UNWRITABLE:
            raise WorkspaceError(
                f"{root}: cannot be written ({os.strerror(error.errno)}); name another place, in a "
                "folder that is there and writable"
            ) from error
        if error.errno in UNWRITABLE:
            raise WorkspaceError(
                f"{where}: cannot write to the workspace ({os.strerror(error.errno)}); "
                "give --workspace DIR or set VESSELFORGE_WORKSPACE to a writable folder"
            ) from error
        raise


def _device_of(settings: BaseModel) -> str:
    """What the stage that has just run in this process computed on."""
    torch = sys.modules.get("torch")  # a stage that needs no torch has not loaded it
    if torch is None:
        return "CPU"
    if getattr(settings, "device", "auto") != "cpu" and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"CPU, {torch.get_num_threads()} threads"
