"""The test scores: who was scored, the sentence at the top, tables, curves and overlays."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from vesselforge.pipeline.record import PARTLY_FAILED
from vesselforge.pipeline.score_rows import NOT_BETTER, constant_f1, is_not_better, titled
from vesselforge.report.run.quality import evidence_of
from vesselforge.report.run.run_reading import Run, View, mapping
from vesselforge.report.tables import fixed, number, plural, signed

CAVEAT = (
    "One run with one seed is no evidence for or against synthetic data: "
    "“vesselforge compare” repeats it over seeds and ratios, with paired tests."
)


FEWEST = 6
"""Test images below which not even a gain on every one is significant (sign test, 5 %)."""


@dataclass(frozen=True)
class Scores:
    """What the evaluation wrote, with the roles of its models settled."""

    view: View
    teacher: str | None
    student: str | None
    models: list[str]
    observers: list[str]
    per_image: list[dict[str, str]]

    @property
    def images(self) -> int:
        return int(number(self.view.metrics.get("images")) or 0)

    @property
    def reference(self) -> str | None:
        found = self.view.metrics.get("reference")
        return None if found is None else str(found)

    def pooled(self, name: str, region: str = "fov") -> dict[str, Any]:
        return self._of(name, region, "pooled")

    def mean(self, name: str, region: str = "fov") -> dict[str, Any]:
        return self._of(name, region, "mean")

    def against(self, model: str, observer: str, region: str = "fov") -> dict[str, Any]:
        """Pooled scores of a model by what a further observer drew; empty in older runs."""
        models = mapping(self.view.metrics, "models")
        return mapping(models, model, "against", observer, region, "pooled")

    def _of(self, name: str, region: str, kind: str) -> dict[str, Any]:
        metrics = self.view.metrics
        everyone = {**mapping(metrics, "observers"), **mapping(metrics, "models")}
        return mapping(everyone, name, region, kind)

    def f1_by_image(self, model: str) -> dict[str, float]:
        """Per-image F1 inside the field of view, by image id."""
        found = {}
        for row in self.per_image:
            value = number(row.get("f1"))
            if row.get("model") == model and row.get("region") == "fov" and value is not None:
                found[row.get("id", "")] = value
        return found

    def title(self, name: str) -> str:
        """Who it is, for readers: `2nd observer`, `ensemble (or)`."""
        if name in self.observers:
            return f"{name} observer"
        return titled(name, mapping(self.view.metrics, "models", name))

    def listed(self, name: str) -> str:
        """The title of a model that per_image.csv names; observers have theirs there."""
        return self.title(name) if name in self.models else name

    @property
    def not_better(self) -> list[str]:
        """Models that mark vessels no better than marking every pixel does."""
        models = mapping(self.view.metrics, "models")
        return [name for name in self.models if is_not_better(mapping(models, name))]

    def marked(self, name: str) -> str:
        """The title, with what has to be said of such a model."""
        mark = f" ({NOT_BETTER})" if name in self.not_better else ""
        return f"{self.title(name)}{mark}"

    def slot(self, name: str) -> int:
        """The colour and dash of a model, the same in every figure."""
        return self.models.index(name) if name in self.models else 7


def read_scores(run: Run) -> Scores | None:
    """The scores of a run, or None before its evaluation."""
    view = run.artifacts.get("evaluation")
    if view is None:
        return None
    models = list(mapping(view.metrics, "models"))
    students = sorted((m for m in models if m.startswith("student")), key=_natural)
    teacher = "teacher" if "teacher" in models else None
    order = [*filter(None, [teacher]), *students]
    order += sorted((m for m in models if m not in order), key=_natural)
    observers = sorted(mapping(view.metrics, "observers"))
    student = _kept_student(students, run)
    return Scores(view, teacher, student, order, observers, view.table("per_image.csv"))


def _natural(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _kept_student(students: list[str], run: Run) -> str | None:
    """The student of the kept round. Never chosen by test scores."""
    if not students:
        return None
    kept = run.kept_round
    return students[kept if kept is not None and kept < len(students) else -1]


@dataclass(frozen=True)
class Paired:
    """Student minus teacher, image by image: mean F1 difference and its 95 % bootstrap interval."""

    values: list[float]
    mean: float
    low: float
    high: float

    @property
    def visible(self) -> float:
        """The smallest true mean difference these images would show with 80 % power."""
        spread = float(np.std(self.values, ddof=1))
        return 2.80 * spread / float(np.sqrt(len(self.values)))


def paired(scores: Scores) -> Paired | None:
    if scores.teacher is None or scores.student is None:
        return None
    base, other = scores.f1_by_image(scores.teacher), scores.f1_by_image(scores.student)
    values = [other[i] - base[i] for i in sorted(base.keys() & other.keys())]
    if len(values) < 2:
        return None
    array = np.asarray(values)
    picks = np.random.default_rng(0).integers(0, len(array), (2000, len(array)))
    low, high = np.percentile(array[picks].mean(axis=1), [2.5, 97.5])
    return Paired(values, float(array.mean()), float(low), float(high))


@dataclass(frozen=True)
class Headline:
    """The verdict in two words, the sentence with the numbers, and what limits it."""

    verdict: str
    sentence: str
    caveats: list[str]


def headline(run: Run, scores: Scores | None) -> Headline:
    """What the numbers say; before it, what makes them worthless."""
    found, evidence = _headline(run, scores), evidence_of(run.last_round)
    if evidence is None or not evidence.verdict:
        return found
    sentence = f"{evidence.sentence} {found.sentence}"
    return Headline(f"{evidence.verdict}. {found.verdict}", sentence, found.caveats)


def _headline(run: Run, scores: Scores | None) -> Headline:
    status, message = (str(run.record.get(n) or "") for n in ("status", "message"))
    if scores is None:
        status = status or "unknown"
        said = f"The run's status is “{status}”" + (f": {message}" if message else ".")
        return Headline("No test scores", f"{said} Below is what exists.", [])
    if scores.reference is None:
        note = str(scores.view.metrics.get("note") or "")
        sentence = "The test images have no manual labels, so nothing can be scored."
        return Headline("Not scored", f"{sentence} {note}".strip(), [])
    found = _verdict(run, scores)
    if status != PARTLY_FAILED:
        return found
    verdict = found.verdict if scores.student else "No student: every synthetic image was rejected"
    return Headline(verdict, found.sentence, [f"Partly failed: {message}", *found.caveats])


def _verdict(run: Run, scores: Scores) -> Headline:
    where = f"inside the field of view of {plural(scores.images, 'test image')}"
    f1 = {m: number(scores.pooled(m).get("f1")) for m in scores.models}
    base, other = f1.get(scores.teacher or ""), f1.get(scores.student or "")
    if base is None or other is None:
        said = (
            ", ".join(f"{scores.title(m)} {fixed(v)}" for m, v in f1.items())
            or "no model was scored"
        )
        caveats = [*_no_better(scores), CAVEAT]
        return Headline("No comparison", f"Pooled F1 {where}: {said}.", caveats)
    pair = paired(scores)
    gain = round(other, 4) - round(base, 4)
    sentence = (
        f"Pooled F1 {where}: {scores.student} {fixed(other)}, {scores.teacher} {fixed(base)}, "
        f"a difference of {signed(gain)}."
    )
    if pair is not None:
        sentence += (
            f" Image by image the student differs by {signed(pair.mean)} on average "
            f"(95 % interval {signed(pair.low)} to {signed(pair.high)})."
        )
    caveats = [*_no_better(scores), CAVEAT, *_limits(run, scores, pair)]
    return Headline(_words(gain, pair), sentence, caveats)


def _no_better(scores: Scores) -> list[str]:
    """One line on the models whose scores a constant answer has, too."""
    names = scores.not_better
    if not names:
        return []
    level = constant_f1(scores.pooled(names[0]))
    known = f", which has an F1 of {fixed(level)}" if level is not None else ""
    who = ", ".join(map(scores.title, names))
    return [f"{who}: {NOT_BETTER} as vessel{known}."]


def _words(gain: float, pair: Paired | None) -> str:
    if gain <= 0:
        return "No gain shown"
    if pair is not None and len(pair.values) < FEWEST:
        return "Too few test images to show a gain"
    if pair is None or pair.low <= 0:
        return "No gain shown beyond chance"
    return "The student scored higher in this one run"


def _limits(run: Run, scores: Scores, pair: Paired | None) -> list[str]:
    limits = []
    if pair is not None and pair.visible > 0:
        limits.append(
            f"With {plural(len(pair.values), 'image')} and this spread, true differences below "
            f"about {pair.visible:.4f} are likely to go unseen (80 % power)."
        )
    real, student = training_steps(run)
    if real and student and real != student:
        limits.append(
            f"Training length differs: the teacher took {real:,} steps, the student {student:,} "
            "(pretraining and fine-tuning together), so not only the data differs."
        )
    return limits


def training_steps(run: Run) -> tuple[int, int]:
    """Optimiser steps of the teacher, and of the kept student with its pretraining."""
    teacher = run.artifacts.get("teacher")
    real = number(teacher.metrics.get("steps")) if teacher else None
    kept = run.last_round
    spent = [number(kept[n].metrics.get("steps")) for n in ("pretrained", "student") if n in kept]
    return int(real or 0), int(sum(s for s in spent if s))


def inconsistent(pooled: dict[str, Any]) -> str | None:
    """Whether F1 and accuracy follow from precision, sensitivity and specificity of one row."""
    values = [number(pooled.get(name)) for name in ("f1", "se", "sp", "precision", "acc")]
    if any(v is None for v in values):
        return None
    f1, se, sp, precision, acc = (float(v or 0) for v in values)
    if precision + se > 0 and abs(f1 - 2 * precision * se / (precision + se)) > 5e-4:
        return "F1 is not 2PR/(P+R) of its own precision and sensitivity"
    weight = se * (1 - precision) + precision * (1 - sp)
    if weight > 1e-9:
        share = precision * (1 - sp) / weight  # of vessel pixels, from the other three
        if abs(acc - (se * share + sp * (1 - share))) > 2e-3:
            return "accuracy does not follow from sensitivity, specificity and precision"
    return None
