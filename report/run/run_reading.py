"""What a report is made from: run.json, and the artifacts it names, every file checked as read."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.confined import inside
from vesselforge.engine.documents import read_object, records
from vesselforge.engine.store import Store


@dataclass(frozen=True)
class View:
    """One finished artifact, read-only. A damaged or absent file reads as None, and is noted."""

    path: Path
    manifest: dict[str, Any]
    problems: list[str]

    @property
    def kind(self) -> str:
        return str(self.manifest.get("kind", ""))

    @property
    def digest(self) -> str:
        return str(self.manifest.get("digest", ""))

    @property
    def metrics(self) -> dict[str, Any]:
        return mapping(self.manifest.get("metrics"))

    @property
    def settings(self) -> dict[str, Any]:
        return mapping(self.manifest.get("settings"))

    @property
    def versions(self) -> dict[str, Any]:
        return mapping(self.manifest.get("versions"))

    @property
    def inputs(self) -> dict[str, str]:
        return {str(k): str(v) for k, v in mapping(self.manifest.get("inputs")).items()}

    @property
    def device(self) -> str:
        """Where it ran: what the manifest or the metrics say, else what the settings asked for."""
        for place in (self.manifest, self.metrics, self.settings):
            if isinstance(place.get("device"), str):
                return str(place["device"])
        return ""

    def names(self, prefix: str = "", suffix: str = "") -> list[str]:
        """Files of the artifact in a fixed order."""
        files = mapping(self.manifest.get("files"))
        return sorted(n for n in files if n.startswith(prefix) and n.endswith(suffix))

    def read(self, name: str) -> bytes | None:
        """A file's bytes. Only files that the manifest lists are ever opened."""
        expected = mapping(self.manifest.get("files")).get(name)
        if expected is None:
            return None
        try:
            content = inside(self.path, name, self.path / MANIFEST).read_bytes()
        except (OSError, WorkspaceError):
            self._note(f"{name} is missing from {self.kind} {self.digest}")
            return None
        if hashlib.sha256(content).hexdigest() != expected:
            self._note(
                f"{name} of {self.kind} {self.digest} differs from the SHA-256 in its manifest; "
                "it is not shown"
            )
            return None
        return content

    def json(self, name: str) -> Any:
        content = self.read(name)
        try:
            return None if content is None else json.loads(content)
        except (ValueError, RecursionError):
            self._note(f"{name} of {self.kind} {self.digest} is not JSON")
            return None

    def lines(self, name: str) -> list[dict[str, Any]]:
        """A .jsonl file; a line cut off by a kill is left out."""
        found = []
        for line in (self.read(name) or b"").decode("utf-8", "replace").splitlines():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                found.append(value)
        return found

    def table(self, name: str) -> list[dict[str, str]]:
        """A .csv file as rows by column name."""
        text = (self.read(name) or b"").decode("utf-8", "replace")
        rows = csv.DictReader(io.StringIO(text, newline=""))
        try:
            return [{k: v or "" for k, v in row.items() if k is not None} for row in rows]
        except csv.Error:
            self._note(f"{name} of {self.kind} {self.digest} is not CSV")
            return []

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


@dataclass(frozen=True)
class Run:
    """A run: what run.json says, and the artifacts that exist."""

    record: dict[str, Any]
    artifacts: dict[str, View]
    rounds: list[dict[str, View]]
    kept: list[bool]
    problems: list[str] = field(default_factory=list)

    @property
    def config(self) -> dict[str, Any]:
        return mapping(self.record.get("config"))

    @property
    def steps(self) -> list[dict[str, Any]]:
        return records(self.record.get("steps"))

    @property
    def kept_round(self) -> int | None:
        """Index of the last round whose student was kept."""
        indices = [i for i, kept in enumerate(self.kept) if kept]
        return indices[-1] if indices else None

    @property
    def last_round(self) -> dict[str, View]:
        """The last round that was kept, else the last there is, else nothing."""
        kept = -1 if self.kept_round is None else self.kept_round
        return self.rounds[kept] if self.rounds else {}

    @property
    def dropped(self) -> set[str]:
        """Names of students that were trained but not kept."""
        return {f"student-{i}" for i, kept in enumerate(self.kept, 1) if not kept}

    def named(self) -> Iterator[tuple[str, View]]:
        """Every artifact once, with the name this run has for it."""
        seen = set()
        several = len(self.rounds) > 1
        named = [(name, self.artifacts[name]) for name in _FIRST if name in self.artifacts]
        for i, round_ in enumerate(self.rounds, 1):
            named += [(f"{name}-{i}" if several else name, view) for name, view in round_.items()]
        named += [(name, view) for name, view in self.artifacts.items() if name not in _FIRST]
        for name, view in named:
            if view.digest not in seen:
                seen.add(view.digest)
                yield name, view


_FIRST = ("development", "test", "teacher")


def read_run(folder: Path, store: Store) -> Run:
    """Read run.json and the manifests it names; raises WorkspaceError when it is no run."""
    path = folder / "run.json"
    record = read_object(path, "the record of a run, workspace/runs/NAME: run the pipeline again")
    problems: list[str] = []
    named = mapping(record.get("artifacts"))
    rounds, kept = [], []
    for entry in records(named.get("rounds")):
        rounds.append(_views(entry, store, problems))
        kept.append(bool(entry.get("kept")))
    return Run(record, _views(named, store, problems), rounds, kept, problems)


def _views(named: dict[str, Any], store: Store, problems: list[str]) -> dict[str, View]:
    found = {}
    for name, reference in named.items():
        if not (isinstance(reference, list) and len(reference) == 2 and name != "rounds"):
            continue
        kind, digest = map(str, reference)
        try:
            folder = store.folder(kind, digest)
            manifest = read_object(folder / MANIFEST, "a manifest")
        except WorkspaceError:
            problems.append(f"{name}: artifact {kind} {digest} is not in the store")
            continue
        found[name] = View(folder, mapping(manifest), problems)
    return found


def mapping(value: Any, *keys: str) -> dict[str, Any]:
    """The object at a path of keys inside a JSON value; {} where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
