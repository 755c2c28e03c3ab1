"""What a run's page is made from: run.json, and the artifacts it names, each file checked."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Any

from PIL import Image

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.artifacts import MANIFEST, Artifact
from vesselforge.engine.documents import inside, records
from vesselforge.engine.store import Store
from vesselforge.pipeline.run_works import in_round, kept_rounds
from vesselforge.report.formatting import number
from vesselforge.report.pictures import opened

ROLES = (
    *("development", "test", "teacher", "generator", "samples", "score", "labelled"),
    *("pretrained", "student"),
)
"""In the order of the work; the same of further rounds, ensembles and scores follow."""


@dataclass(frozen=True)
class View(Artifact):
    """One finished artifact, read-only. A damaged or absent file reads as None, and is noted."""

    problems: list[str]

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.manifest["settings"])

    def names(self, prefix: str = "", suffix: str = "") -> list[str]:
        """Files of the artifact in a fixed order."""
        files = self.manifest["files"]
        return sorted(n for n in files if n.startswith(prefix) and n.endswith(suffix))

    def read(self, name: str) -> bytes | None:
        """A file's bytes. Only files that the manifest lists are ever opened."""
        expected = self.manifest["files"].get(name)
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

    def picture(self, name: Any) -> Image.Image | None:
        return opened(self.read(str(name))) if name else None

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object; {} where there is none."""
        content = self.read(name)
        return {} if content is None else mapping(json.loads(content))

    def items(self, split: str | None = None) -> list[dict[str, Any]]:
        """The images of an image set, all or those of a split."""
        found = records(self.json("index.json").get("items"))
        return [item for item in found if split is None or item.get("split") == split]

    def lines(self, name: str) -> list[dict[str, Any]]:
        """A .jsonl file; a line cut off by a kill is left out."""
        found = []
        for line in (self.read(name) or b"").decode("utf-8", "replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return records(found)

    def table(self, name: str) -> list[dict[str, str]]:
        """A .csv file as rows by column name."""
        text = (self.read(name) or b"").decode("utf-8", "replace")
        return list(csv.DictReader(io.StringIO(text, newline="")))

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


@dataclass(frozen=True)
class Run:
    """A run: what run.json says, and the artifacts that exist, by their role in it."""

    record: dict[str, Any]
    artifacts: dict[str, View]
    problems: list[str] = field(default_factory=list)

    @property
    def f1(self) -> list[float]:
        """Of the students of all rounds, kept or not, on the validation images."""
        names = takewhile(self.artifacts.__contains__, (in_round("student", n) for n in count(1)))
        found = (mapping(self.artifacts[name].metrics, "validation").get("f1") for name in names)
        return [number(value) or 0.0 for value in found]

    @property
    def kept(self) -> int:
        """The last round that is kept; 1 before there is one."""
        return max(1, kept_rounds(self.f1))

    def synthetic(self, role: str) -> View | None:
        """What that round has in a role, if anything."""
        return self.artifacts.get(in_round(role, self.kept))


def open_run(record: dict[str, Any], store: Store) -> Run:
    """The artifacts that a run's record names."""
    run, named = Run(record, {}), record["artifacts"]
    for name in sorted(named, key=_place):
        address = named[name]
        if not isinstance(address, list) or len(address) != 2:
            continue
        try:
            artifact = store.read(*address)
        except WorkspaceError:
            run.problems.append(f"{name}: artifact {' '.join(address)} is not in the store")
            continue
        run.artifacts[name] = View(artifact.path, artifact.manifest, run.problems)
    return run


def _place(name: str) -> tuple[Any, ...]:
    role, _, round_ = name.partition("-")
    return (0, len(round_), round_, ROLES.index(role)) if role in ROLES else (1, name)


def mapping(value: Any, *keys: str) -> dict[str, Any]:
    """The object at a path of keys inside a JSON value; {} where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
