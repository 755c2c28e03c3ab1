"""What a run's page is made from: run.json, and the artifacts it names, each file checked."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count, takewhile
from typing import Any

from PIL import Image

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.artifacts import MANIFEST, Artifact
from vesselforge.engine.documents import inside, records
from vesselforge.engine.store import Store
from vesselforge.pipeline.models.choice import FINAL, in_words
from vesselforge.pipeline.models.score_rows import is_not_better, place_of, titled
from vesselforge.pipeline.run.run_works import in_round, kept_rounds
from vesselforge.report.formatting import number
from vesselforge.report.pictures import opened


@dataclass(frozen=True)
class View(Artifact):
    """One finished artifact, read-only. A damaged or absent file reads as None, and is noted."""

    problems: list[str]

    def names(self, prefix: str, suffix: str) -> list[str]:
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
            self.problems.append(f"{name} is missing from {self.kind} {self.digest}")
            return None
        if hashlib.sha256(content).hexdigest() != expected:
            self.problems.append(
                f"{name} of {self.kind} {self.digest} differs from the SHA-256 in its manifest; "
                "it is not shown"
            )
            return None
        return content

    def text(self, name: str) -> str:
        """A file's text; empty where there is none."""
        return (self.read(name) or b"").decode("utf-8", "replace")

    def picture(self, name: Any) -> Image.Image | None:
        return opened(self.read(str(name))) if name else None

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object; {} where there is none."""
        return mapping(json.loads(self.text(name) or "{}"))

    def items(self, split: str | None = None) -> list[dict[str, Any]]:
        """The images of an image set, all or those of a split."""
        found = records(self.json("index.json").get("items"))
        return [item for item in found if split is None or item.get("split") == split]

    def lines(self, name: str) -> list[dict[str, Any]]:
        """A .jsonl file."""
        return records([json.loads(line) for line in self.text(name).splitlines()])

    def table(self, name: str) -> list[dict[str, str]]:
        """A .csv file as rows by column name."""
        return list(csv.DictReader(io.StringIO(self.text(name), newline="")))


@dataclass(frozen=True)
class Run:
    """A run: what run.json says, and the artifacts that exist, by their role in it, in the order in
    which they were made."""

    record: dict[str, Any]
    artifacts: dict[str, View]
    problems: list[str]

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

    @property
    def real_alone(self) -> bool:
        """Whether it has no synthetic images."""
        return bool(mapping(self.record["config"], "source").get("kind") == "none")

    @property
    def choice(self) -> str:
        """Which model serves and why; empty before the run has ended."""
        choice = mapping(self.record, "chosen")
        return in_words(choice) if choice else ""

    @cached_property
    def folds(self) -> dict[str, Run]:
        """Of a cross-validation: what each fold has; empty for any other run."""
        found: dict[str, dict[str, View]] = {}
        for name, view in self.artifacts.items():
            part, slash, role = name.partition("/")
            if slash:
                found.setdefault(part, {})[role] = view
        names = sorted(found, key=lambda name: (len(name), name))
        return {name: Run(self.record, found[name], self.problems) for name in names}

    def synthetic(self, role: str) -> View | None:
        """What that round has in a role, if anything."""
        return self.artifacts.get(in_round(role, self.kept))


def open_run(record: dict[str, Any], store: Store) -> Run:
    """The artifacts that a run's record names."""
    found: dict[str, View] = {}
    problems: list[str] = []
    for name, address in record["artifacts"].items():
        if not isinstance(address, list) or len(address) != 2:
            continue
        try:
            artifact = store.read(*address)
        except WorkspaceError:
            problems.append(f"{name}: artifact {' '.join(address)} is not in the store")
            continue
        found[name] = View(artifact.path, artifact.manifest, problems)
    made = {step["digest"]: place for place, step in enumerate(record["steps"])}
    ordered = sorted(found.items(), key=lambda pair: made.get(pair[1].digest, -1))
    return Run(record, dict(ordered), problems)


@dataclass(frozen=True)
class Scores:
    """What the evaluation wrote. models: teacher, students, ensembles; student: the name of that of
    the last round kept, which no test score chose; None without any. real_alone: the run has no
    synthetic images, and its teacher is what was to be trained; final: or a model on all images."""

    view: View
    models: Mapping[str, Mapping[str, Any]]
    observers: Mapping[str, Mapping[str, Any]]
    student: str | None
    real_alone: bool = False
    final: bool = False

    @property
    def reference(self) -> str | None:
        """The observer that counts; None without any labels."""
        return self.view.metrics.get("reference")

    @property
    def images(self) -> int:
        return int(self.view.metrics["images"])

    @property
    def folds(self) -> int:
        """Of a cross-validation, in which every image was a test image once; else 0."""
        return int(number(self.view.metrics.get("folds")) or 0)

    @property
    def everyone(self) -> dict[str, Mapping[str, Any]]:
        return {**self.models, **self.observers}

    def pooled(self, name: str, region: str = "fov") -> dict[str, Any]:
        return mapping(self.everyone, name, region, "pooled")

    def mean(self, name: str, region: str = "fov") -> dict[str, Any]:
        return mapping(self.everyone, name, region, "mean")

    @cached_property
    def per_image(self) -> list[dict[str, str]]:
        """Lines of images inside the field of view."""
        return [row for row in self.view.table("per_image.csv") if row["region"] == "fov"]

    def f1_by_image(self, model: str) -> dict[str, float]:
        """Per-image F1 inside the field of view, by image id."""
        pairs = ((r["id"], number(r["f1"])) for r in self.per_image if r["model"] == model)
        return {id_: f1 for id_, f1 in pairs if f1 is not None}

    def title(self, name: str) -> str:
        """Who it is, for readers: `2nd observer`, `ensemble (or)`."""
        return f"{name} observer" if name in self.observers else titled(name, self.models[name])

    @property
    def not_better(self) -> list[str]:
        """Models that mark vessels no better than marking every pixel does."""
        return [name for name, scores in self.models.items() if is_not_better(scores)]

    def slot(self, name: str) -> int:
        """The colour and dash of a model, the same in every chart; −1, grey, for an observer."""
        return list(self.models).index(name) if name in self.models else -1


def read_scores(run: Run) -> Scores | None:
    """The scores of a run, or None before its evaluation."""
    view = run.artifacts.get("evaluation")
    if view is None:
        return None
    models, student = mapping(view.metrics, "models"), in_round("student", run.kept)
    return Scores(
        view,
        {name: models[name] for name in sorted(models, key=lambda name: (place_of(name), name))},
        dict(sorted(mapping(view.metrics, "observers").items())),
        student if student in models else None,
        run.real_alone,
        FINAL in run.artifacts,
    )


def mapping(value: Any, *keys: str) -> dict[str, Any]:
    """The object at a path of keys inside a JSON value; {} where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
