"""Artifacts and stages: what finished work is, and the address that it has before it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pydantic.dataclasses
from pydantic import BaseModel, ImportString

from vesselforge.configs.errors import DataError
from vesselforge.engine.documents import read_object
from vesselforge.engine.progress import Progress

SCHEMA = 1
SCRATCH = "checkpoint"
"""Sub-folder of a stage's output that is dropped when the stage finishes."""
MANIFEST = "manifest.json"
METRICS = "metrics.json"

Inputs = Mapping[str, "Artifact"]


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


@pydantic.dataclasses.dataclass(frozen=True)
class Stage:
    """One kind of work. Raise `version` whenever its results for the same settings change.

    function: "module:name" of what `run` calls, imported only then (torch is slow to load).
    settings: the model that the function takes.
    outside: "module:name" of what gives, for settings, the hashes of the inputs from outside the
    store; for a stage whose inputs may change while it reads them.
    longer: "module:name" of what tells, for settings, those of an earlier artifact and the names of
    the fields that differ, the `Length` of a training that may go on from it; None where not.
    """

    kind: str
    version: int
    function: str
    settings: ImportString[type[BaseModel]]
    outside: str | None = None
    longer: str | None = None

    def run(self, settings: BaseModel, inputs: Inputs, out: Path, progress: Progress) -> None:
        resolve_name(self.function)(settings, inputs, out, progress)

    def check_outside(self, settings: BaseModel, digests: Mapping[str, str]) -> None:
        """Raise DataError when what was read outside the store is not what `digests` says."""
        now: Mapping[str, str] = resolve_name(self.outside)(settings) if self.outside else {}
        for name, digest in now.items():
            if digests.get(name) != digest:
                raise DataError(
                    f"{name}: its files changed while {self.kind} read them, so nothing was kept "
                    "of it; run the same command again when they stay as they are"
                )


def address(kind: str, version: int, settings: BaseModel, inputs: Mapping[str, str]) -> str:
    """The digest (24 hex digits) of a piece of work. inputs: name → digest of each input artifact,
    or content hash of an outside folder."""
    work: dict[str, Any] = {"schema": SCHEMA, "kind": kind, "version": version}
    work |= {"settings": identity_of(settings), "inputs": dict(inputs)}
    text = json.dumps(work, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def identity_of(settings: BaseModel) -> dict[str, Any]:
    """The settings as JSON, without the fields marked `operational` (device, paths whose content
    is hashed apart, checkpoint intervals): those change how the work is done, not its result."""
    whole = settings.model_dump(mode="json")
    return {
        name: _identity(getattr(settings, name), whole[name])
        for name, field in type(settings).model_fields.items()
        if field.json_schema_extra != {"operational": True}
    }


def _identity(value: Any, dumped: Any) -> Any:
    """The identity of settings inside lists and dicts; everything else as it was dumped."""
    if isinstance(value, BaseModel):
        return identity_of(value)
    if isinstance(value, list):
        return list(map(_identity, value, dumped))
    if isinstance(value, dict):
        return dict(zip(dumped, map(_identity, value.values(), dumped.values()), strict=True))
    return dumped


@dataclass(frozen=True)
class Outcome:
    """An artifact, and whether it was there already. seconds: of this call."""

    artifact: Artifact
    reused: bool
    seconds: float


def read_artifact(folder: Path) -> Artifact:
    """The artifact in a folder, its files not looked at.

    Raises WorkspaceError for a manifest that is not there, not readable or of another form."""
    expected = "the manifest of a finished stage: run the same command again"
    fields: dict[str, type] = dict.fromkeys(("settings", "inputs", "files", "metrics"), dict)
    fields |= {"kind": str, "digest": str}
    return Artifact(folder, read_object(folder / MANIFEST, expected, fields=fields))
