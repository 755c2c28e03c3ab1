"""The test scores of a run, with the roles of its models settled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vesselforge.pipeline.models.score_rows import is_not_better, place_of, titled
from vesselforge.pipeline.run_works import in_round
from vesselforge.report.formatting import number
from vesselforge.report.run.run_reading import Run, View, mapping


@dataclass(frozen=True)
class Scores:
    """What the evaluation wrote. reference: the observer that counts, None without any labels;
    models: teacher, students, ensembles; teacher, student: the names, if they are there, of the
    first and of that of the last round kept, which no test score chose."""

    view: View
    reference: str | None
    teacher: str | None
    student: str | None
    models: Mapping[str, Mapping[str, Any]]
    observers: Mapping[str, Mapping[str, Any]]
    per_image: list[dict[str, str]]

    @property
    def everyone(self) -> list[str]:
        return [*self.models, *self.observers]

    @property
    def images(self) -> int:
        return int(self.view.metrics["images"])

    def pooled(self, name: str, region: str = "fov") -> dict[str, Any]:
        return mapping({**self.observers, **self.models}, name, region, "pooled")

    def mean(self, name: str, region: str = "fov") -> dict[str, Any]:
        return mapping({**self.observers, **self.models}, name, region, "mean")

    def f1_by_image(self, model: str) -> dict[str, float]:
        """Per-image F1 inside the field of view, by image id."""
        found = {}
        for row in self.per_image:
            value = number(row["f1"])
            if row["model"] == model and row["region"] == "fov" and value is not None:
                found[row["id"]] = value
        return found

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
    metrics = view.metrics
    models = mapping(metrics, "models")
    student = in_round("student", run.kept)
    return Scores(
        view,
        metrics.get("reference"),
        "teacher" if "teacher" in models else None,
        student if student in models else None,
        {name: models[name] for name in sorted(models, key=lambda name: (place_of(name), name))},
        dict(sorted(mapping(metrics, "observers").items())),
        view.table("per_image.csv"),
    )


@dataclass(frozen=True)
class Paired:
    """Student minus teacher, image by image: mean F1 difference and its 95 % bootstrap interval."""

    values: list[float]
    mean: float
    low: float
    high: float

    @property
    def detectable(self) -> float:
        """The smallest true mean difference these images would show with 80 % power."""
        return 2.80 * float(np.std(self.values, ddof=1) / np.sqrt(len(self.values)))


def paired(scores: Scores) -> Paired | None:
    """The comparison of student and teacher; None with fewer than two images of both."""
    if scores.teacher is None or scores.student is None:
        return None
    base, other = scores.f1_by_image(scores.teacher), scores.f1_by_image(scores.student)
    values = np.array([other[i] - base[i] for i in sorted(base.keys() & other.keys())])
    if len(values) < 2:
        return None
    picks = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    low, high = np.percentile(values[picks].mean(axis=1), [2.5, 97.5])
    return Paired(values.tolist(), float(values.mean()), float(low), float(high))
