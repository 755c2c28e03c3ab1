"""The artifact store: a finished stage is a folder under the hash of what made it.

An artifact is whole or absent. A stage fills `<store>/<kind>/<digest>.partial/`; when it is done
the folder is hashed, synced and renamed. A killed stage leaves its partial folder behind, and the
same request later finds it there and goes on from the newest checkpoint in it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from configs.errors import DataError, WorkspaceError
from data.confined import inside, plain_name
from data.documents import read_object
from data.files import file_sha256, write_atomic, write_json
from data.folders import renamed, sync
from data.locks import check_locks, locked
from data.progress import Progress
from data.provenance import device_of, versions

SCHEMA = 1
SCRATCH = "checkpoint"
"""Sub-folder of a stage's output that is dropped when the stage finishes."""
MANIFEST = "manifest.json"
MANIFEST_FIELDS = {
    "kind": str, "digest": str, "settings": dict, "inputs": dict, "files": dict, "metrics": dict
}  # fmt: skip
"""What every reader of a manifest counts on."""
METRICS = "metrics.json"
LOCKS = ".locks"

UNWRITABLE = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENOENT
)  # fmt: skip
"""What the file system answers when a folder cannot be made or written there."""

Inputs = Mapping[str, "Artifact"]
StageFunction = Callable[[Any, Inputs, Path, Progress], None]


@dataclass(frozen=True)
class Artifact:
    """A finished stage: its folder and what its manifest says."""

    path: Path
    manifest: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def digest(self) -> str:
        return str(self.manifest["digest"])

    @property
    def metrics(self) -> dict[str, Any]:
        return dict(self.manifest["metrics"])


@dataclass(frozen=True)
class Stage:
    """One kind of work. Raise `version` whenever its results for the same settings change.

    function: "module:name" of a StageFunction, imported only when it runs (torch is slow to load).
    settings: the model that the function takes.
    outside: "module:name" of what gives, for settings, the hashes of the inputs from outside the
    store; for a stage whose inputs may change while it reads them.
    """

    kind: str
    version: int
    function: str
    settings: type[BaseModel]
    outside: str | None = None

    def run(self, settings: BaseModel, inputs: Inputs, out: Path, progress: Progress) -> None:
        function: StageFunction = _imported(self.function)
        function(settings, inputs, out, progress)

    def check_outside(self, settings: BaseModel, digests: Mapping[str, str]) -> None:
        """Raise DataError when what was read outside the store is not what `digests` says."""
        if self.outside is None:
            return
        now: Mapping[str, str] = _imported(self.outside)(settings)
        for name, digest in now.items():
            if digests.get(name) != digest:
                raise DataError(
                    f"{name}: its files changed while {self.kind} read them, so nothing was kept "
                    "of it; run the same command again when they stay as they are"
                )


def address(kind: str, version: int, settings: BaseModel, inputs: Mapping[str, str]) -> str:
    """The digest (24 hex digits) of a piece of work.

    inputs: name → digest of each input artifact (or content hash of an outside folder).
    """
    work = {
        "schema": SCHEMA,
        "kind": kind,
        "version": version,
        "settings": identity_of(settings),
        "inputs": dict(inputs),
    }
    text = json.dumps(work, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def input_digests(inputs: Inputs, outside: Mapping[str, str] | None = None) -> dict[str, str]:
    """Name → digest of every input artifact, and of inputs from outside the store."""
    return {name: artifact.digest for name, artifact in inputs.items()} | dict(outside or {})


def identity_of(settings: BaseModel) -> dict[str, Any]:
    """The settings as JSON, without the fields marked `operational` (device, paths whose content
    is hashed apart, checkpoint intervals): those change how the work is done, not its result."""
    whole = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and extra.get("operational"):
            del whole[name]
        else:
            whole[name] = _identity_within(getattr(settings, name), whole[name])
    return whole


def _identity_within(value: Any, dumped: Any) -> Any:
    """The identity of settings inside lists and dicts; everything else as it was dumped."""
    if isinstance(value, BaseModel):
        return identity_of(value)
    if isinstance(value, list) and any(isinstance(each, BaseModel) for each in value):
        return [_identity_within(*each) for each in zip(value, dumped, strict=True)]
    if isinstance(value, dict) and any(isinstance(each, BaseModel) for each in value.values()):
        return {key: _identity_within(each, dumped[key]) for key, each in value.items()}
    return dumped


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
                check_locks(probe, self.root / LOCKS)
        return self

    def folder(self, kind: str, digest: str) -> Path:
        """Raises WorkspaceError for a kind or a digest that is no single folder's name."""
        where = f"{self.root}: an artifact's address"
        return self.root / plain_name(kind, where) / plain_name(digest, where)

    def find(self, kind: str, digest: str) -> Artifact | None:
        """The finished artifact, every file checked against its manifest, or None.

        A damaged one is moved aside to `<digest>.damaged` (its work is then done again).
        """
        final = self.folder(kind, digest)
        if not (final / MANIFEST).is_file():
            return None
        damage = self.damage(final)
        if damage is None:
            return read_artifact(final)
        aside = final.with_name(f"{digest}.damaged")
        shutil.rmtree(aside, ignore_errors=True)
        final.rename(aside)
        raise DamagedArtifact(f"{damage}; moved to {aside}: run the same command to make it again")

    @staticmethod
    def damage(final: Path) -> str | None:
        """What is wrong with a finished artifact, or None."""
        try:
            for name, expected in read_artifact(final).manifest["files"].items():
                path = inside(final, name, final / MANIFEST)
                if not path.is_file():
                    return f"{path}: file is missing from a finished artifact"
                if file_sha256(path) != expected:
                    return f"{path}: content differs from the SHA-256 in its manifest"
        except WorkspaceError as error:
            return str(error)
        return None

    def produce(
        self,
        stage: Stage,
        settings: BaseModel,
        inputs: Inputs,
        progress: Progress,
        outside: Mapping[str, str] | None = None,
    ) -> Artifact:
        """The artifact of this work: found, or made now (one process at a time, resumable).

        outside: name → content hash of inputs that are not artifacts (a dataset folder).

        Raises Interrupted when asked to stop, be it while it waits for another process.
        """
        digests = input_digests(inputs, outside)
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
            started = time.time()
            spent = _read_spent(partial)
            try:
                stage.run(settings, inputs, partial, progress)
                stage.check_outside(settings, digests)
            finally:
                if (partial / SCRATCH).is_dir():
                    _write_spent(partial, spent + time.time() - started)
            manifest = {
                "schema": SCHEMA,
                "kind": stage.kind,
                "stage_version": stage.version,
                "digest": digest,
                "settings": settings.model_dump(mode="json"),
                "inputs": digests,
                "seconds": round(spent + time.time() - started, 2),
                "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "versions": versions(),
                "device": device_of(settings),
            }
            return self._publish(partial, self.folder(stage.kind, digest), manifest)

    def _publish(self, partial: Path, final: Path, manifest: dict[str, Any]) -> Artifact:
        shutil.rmtree(partial / SCRATCH, ignore_errors=True)
        files = sorted(p for p in partial.rglob("*") if p.is_file() and p.name != MANIFEST)
        manifest["files"] = {str(p.relative_to(partial)): file_sha256(p) for p in files}
        metrics = partial / METRICS
        manifest["metrics"] = json.loads(metrics.read_text()) if metrics.is_file() else {}
        for path in files:
            sync(path)
        write_json(partial / MANIFEST, manifest)
        sync(partial)
        if not renamed(partial, final):
            if (final / MANIFEST).is_file():  # made by a machine whose rename we did not see yet
                shutil.rmtree(partial)
                return Artifact(final, json.loads((final / MANIFEST).read_text()))
            shutil.rmtree(final)  # a folder without a manifest: nothing of value
            partial.rename(final)
        sync(final.parent)
        return Artifact(final, manifest)

    def remove(self, kind: str, digest: str) -> None:
        """Delete an artifact that nobody needs any more: for everyone else whole, then absent."""
        with explained(self.root), self.lock(digest, Progress()):
            final = self.folder(kind, digest)
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


def read_artifact(folder: Path) -> Artifact:
    """The artifact in a folder, its files not looked at.

    Raises WorkspaceError for a manifest that is not there, not readable or of another form."""
    path = folder / MANIFEST
    found = read_object(path, "the manifest of a finished stage: run the same command again")
    for name, kind in MANIFEST_FIELDS.items():
        if not isinstance(found.get(name), kind):
            raise WorkspaceError(
                f"{path}: found no {name} in it, expected a {kind.__name__}; not a readable "
                "manifest: run the same command again"
            )
    return Artifact(folder, found)


class DamagedArtifact(WorkspaceError):
    """A finished artifact no longer matches its manifest."""


@contextlib.contextmanager
def explained(root: Path) -> Iterator[None]:
    """Turn what the file system says into one message with a way out."""
    try:
        yield
    except OSError as error:
        where = error.filename or root
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WorkspaceError(
                f"{where}: no space left in the workspace; free some, or give --workspace on a "
                "larger disk; finished stages and checkpoints are kept"
            ) from error
        if error.errno in UNWRITABLE:
            raise WorkspaceError(
                f"{where}: cannot write to the workspace ({os.strerror(error.errno)}); "
                "give --workspace DIR or set VESSELFORGE_WORKSPACE to a writable folder"
            ) from error
        raise


def _imported(name: str) -> Any:
    """What "module:name" means."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _read_spent(partial: Path) -> float:
    try:
        return float((partial / SCRATCH / "seconds").read_text())
    except (OSError, ValueError):
        return 0.0


def _write_spent(partial: Path, seconds: float) -> None:
    with contextlib.suppress(OSError):
        write_atomic(partial / SCRATCH / "seconds", f"{seconds:.2f}")
