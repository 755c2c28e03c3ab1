"""From finished artifacts to results.json and per_image.csv: the figures that the page shows."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.files import write_atomic, write_json
from data.store import Artifact
from flows.study.copies import suspicious
from flows.study.schema import (
    PER_IMAGE,
    PER_IMAGE_COLUMNS,
    RESULTS,
    Arm,
    ArmRun,
    Effect,
    EnsembleScore,
    Filtered,
    Place,
    Realism,
    Results,
)
from flows.study.statistics import study_effects
from flows.study.study import Study, TrainedArm
from flows.study.verdict import headline
from pipeline.arms import ArmSpec
from pipeline.graph import Work
from pipeline.study import Origin

REFERENCE = "1st"
Values = dict[Place, dict[str, dict[int, dict[str, float]]]]
"""Place → arm id → seed → image id → the metric; NaN where it is undefined."""


def write_results(study: Study, folder: Path) -> Results:
    """Compare the arms, write results.json, per_image.csv and pictures/ into the run's folder."""
    config = study.plan.config
    values = _values(study)
    arms = _arms(study, values)
    primary = _primary(study, values)
    found = Results(
        name=config.name,
        headline=headline(arms, primary, config.statistics.metric, config.statistics.power),
        metric=config.statistics.metric,
        region=config.statistics.region,
        alpha=config.statistics.alpha,
        power=config.statistics.power,
        steps=config.first.steps + config.second.steps,
        seeds=config.arms.seeds,
        reseed=config.synthetic.reseed,
        primary=primary,
        places=sorted(values, key=lambda place: place != primary),
        arms=arms,
        references=_references(study),
        ensembles=_ensembles(study),
        filters=_filters(study),
        copies=suspicious(study, folder),
    )
    write_json(folder / RESULTS, found.model_dump(mode="json"))
    write_atomic(folder / PER_IMAGE, _per_image(arms, values))
    return found


def _primary(study: Study, values: Values) -> Place:
    """The dataset's own test set, by the observer that it was trained on."""
    own = Place(set=study.plan.config.data.name, observer=REFERENCE)
    return own if own in values or not values else next(iter(values))


def _values(study: Study) -> Values:
    """The metric of every completed run on every image of every place."""
    found: Values = {}
    for trained in study.trained:
        for name, work in trained.evaluations.items():
            made = study.executor.artifact(work)
            if made is None or trained.why:
                continue
            for observer, image, value in _rows(study, made):
                place = found.setdefault(Place(set=name, observer=observer), {})
                place.setdefault(trained.spec.id, {}).setdefault(trained.seed, {})[image] = value
    return found


def _rows(study: Study, made: Artifact) -> Iterator[tuple[str, str, float]]:
    """(observer, image, metric) of one evaluation of one model."""
    statistics = study.plan.config.statistics
    for name, default in (("per_image.csv", REFERENCE), ("per_image_observers.csv", None)):
        path = made.path / name
        if not path.is_file():
            continue
        for row in csv.DictReader(io.StringIO(path.read_text())):
            if row["model"] != "model" or row["region"] != statistics.region:
                continue  # a human observer's own line
            text = row[statistics.metric]
            yield default or row["observer"], row["id"], float(text) if text else math.nan


def _arms(study: Study, values: Values) -> list[Arm]:
    effects = _effects(study, values)
    return [
        Arm(
            id=spec.id,
            label=spec.label,
            count=spec.count,
            order=spec.order,
            augment=spec.augment,
            real_images=spec.real_images,
            baseline=study.baseline(spec),
            source=spec.source,
            strength=spec.strength,
            runs=[_run(study, t) for t in study.trained if t.spec == spec],
            effects=effects.get(spec.id, []),
            realism=_realism(study, spec),
        )
        for spec in study.plan.arms
    ]


def _effects(study: Study, values: Values) -> dict[str, list[Effect]]:
    """Arm → its effect at each place. Holm's correction is over the arms of one place."""
    baselines = {a.id: study.baseline(a) for a in study.plan.arms}
    found: dict[str, list[Effect]] = {}
    for place, of_arms in values.items():
        images = sorted({i for runs in of_arms.values() for each in runs.values() for i in each})
        table = {
            arm: {seed: [each.get(i, math.nan) for i in images] for seed, each in runs.items()}
            for arm, runs in of_arms.items()
        }
        there = {arm: base if base in table else None for arm, base in baselines.items()}
        settings = study.plan.config.statistics
        for arm, effect in study_effects(table, there, settings, place).items():
            found.setdefault(arm, []).append(effect)
    return found


def _run(study: Study, trained: TrainedArm) -> ArmRun:
    made = study.executor.artifact(trained.student) if trained.student else None
    if trained.why or made is None:
        return ArmRun(seed=trained.seed, status="failed", message=trained.why)
    return ArmRun(
        seed=trained.seed,
        status="completed",
        validation_f1=made.metrics["validation"]["f1"],
        threshold=made.metrics["threshold"],
    )


def _realism(study: Study, spec: ArmSpec) -> Realism | None:
    """Means over the selections that the arm's seeds trained on."""
    if spec.order is None:
        return None
    origins = dict.fromkeys(study.plan.origin(spec, seed) for seed in study.plan.seeds)
    works = [study.realism().get((origin, spec.count)) for origin in origins]
    made = [study.executor.artifact(work) for work in works if work is not None]
    figures = [artifact.metrics for artifact in made if artifact is not None]
    if not figures:
        return None
    names = {
        "kid": "kid_mean",
        "kid_floor": "kid_floor_mean",
        "fid": "fid",
        "distance": "relative_distance",
        "copies": "copy_ratio",
        "expected": "copy_expected",
        "c_t": "c_t",
    }
    return Realism(**{key: _mean(figures, name) for key, name in names.items()})


def _mean(figures: list[dict[str, Any]], name: str) -> float | None:
    there = [float(f[name]) for f in figures if isinstance(f.get(name), int | float)]
    return float(np.mean(there)) if there else None


def _references(study: Study) -> list[EnsembleScore]:
    """The teachers, and on the primary set the further observers."""
    found: list[EnsembleScore] = []
    for name, works in study.teachers().items():
        found += _scores(study, name, "", works, 1)
    observers = next((m for m in map(study.executor.artifact, _own(study)) if m is not None), None)
    if observers is not None:
        for observer, scores in observers.metrics["observers"].items():
            level = _level(study, scores)
            place = Place(set=study.plan.config.data.name, observer=REFERENCE)
            if level is not None:
                arm = f"observer {observer}"
                found.append(EnsembleScore(arm=arm, method="", place=place, level=level, members=1))
    return found


def _own(study: Study) -> list[Work]:
    """Evaluations on the dataset's own test set."""
    name = study.plan.config.data.name
    return [t.evaluations[name] for t in study.trained if name in t.evaluations]


def _ensembles(study: Study) -> list[EnsembleScore]:
    found: list[EnsembleScore] = []
    for (arm, method), works in study.ensembles().items():
        members = sum(t.spec == arm and not t.why for t in study.trained)
        found += _scores(study, arm.id, method, works, members)
    return found


def _scores(
    study: Study, arm: str, method: str, works: Mapping[str, Work], members: int
) -> list[EnsembleScore]:
    """Mean over images with its interval, at every place that a model was scored on."""
    found = []
    for name, work in works.items():
        made = study.executor.artifact(work)
        model = made.metrics["models"].get("model") if made else None
        if model is None:
            continue
        for observer, scores in ({REFERENCE: model} | model.get("against", {})).items():
            level = _level(study, scores)
            if level is not None:
                place = Place(set=name, observer=observer)
                found.append(
                    EnsembleScore(arm=arm, method=method, place=place, level=level, members=members)
                )
    return found


def _level(study: Study, scores: Mapping[str, Any]) -> tuple[float, float, float] | None:
    statistics = study.plan.config.statistics
    mean = scores[statistics.region]["mean"].get(statistics.metric)
    return None if not mean or mean[0] is None else (mean[0], mean[1], mean[2])


def _filters(study: Study) -> list[Filtered]:
    """What became of the samples of each origin, all its pools together."""
    return [_filtered(study, origin, works) for origin, works in study.used.items()]


def _filtered(study: Study, origin: Origin, works: list[Work]) -> Filtered:
    made = [m for m in map(study.executor.artifact, works) if m is not None]
    kept = sum(m.metrics["kept"] for m in made)
    reasons: Counter[str] = Counter()
    for each in made:
        reasons.update(each.metrics["reasons"])
    drawn = kept + sum(m.metrics["rejected"] for m in made)
    return Filtered(source=origin.name, drawn=drawn, kept=kept, reasons=dict(reasons))


def _per_image(arms: list[Arm], values: Values) -> str:
    """One line for each run, place and image, with the real-only arm of the same seed beside it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(PER_IMAGE_COLUMNS)
    for place, of_arms in values.items():
        for arm in arms:
            for seed, images in of_arms.get(arm.id, {}).items():
                base = of_arms.get(arm.baseline or "", {}).get(seed, {})
                for image, value in sorted(images.items()):
                    other = base.get(image, math.nan)
                    cells = [_cell(v) for v in (value, other, value - other)]
                    writer.writerow([arm.id, seed, place.set, place.observer, image, *cells])
    return text.getvalue()


def _cell(value: float) -> str:
    return f"{value:.6f}" if math.isfinite(value) else ""
