"""What a study measured, before anything is compared: read from its finished artifacts."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vesselforge.configs.statistics import REFERENCE, StatisticsSettings
from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.study.arms import ArmSpec
from vesselforge.pipeline.study.conduct import Study, TrainedArm
from vesselforge.pipeline.study.per_image import Measured, Run, parsed
from vesselforge.pipeline.study.schema import (
    Arm,
    ArmRun,
    Place,
    Samples,
    SyntheticImages,
    TrainedModel,
)
from vesselforge.pipeline.study.study_pictures import write_samples
from vesselforge.pipeline.study.study_sources import synthetic_images


@dataclass(frozen=True)
class Findings:
    """arms: without effects. content: hash of each dataset. folds: training images of each, none
    where the study is no cross-validation. warned: of its images, line by line."""

    arms: list[Arm]
    measured: Measured
    content: dict[str, str]
    folds: list[int] = field(default_factory=list)
    synthetic: list[SyntheticImages] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)


def findings_of(study: Study, folder: Path) -> Findings:
    """Everything that the study's artifacts say; pictures of samples, of the first fold, go into
    the run's folder."""
    plan, trained = study.plan, study.trained
    runs = {spec: [_run(study, t) for t in trained if t.spec == spec] for spec in plan.arms}
    return Findings(
        arms=[bare_arm(plan.config, spec, plan.compared[spec.id], runs[spec]) for spec in runs],
        measured={(t.spec.id, t.seed): _measured(study, t) for t in trained if not t.why},
        content=plan.content,
        folds=[works.available for works in plan.folds] if plan.cross_validated else [],
        synthetic=[synthetic_images(fold, origin) for fold in study.folds for origin in fold.used],
        samples=write_samples(study.folds[0], folder),
        warned=study.executor.warned,
    )


def metrics_of(statistics: StatisticsSettings) -> list[str]:
    """The main metric and the others."""
    return [statistics.metric, *statistics.secondary]


def bare_arm(
    config: StudyConfig, spec: ArmSpec, others: Sequence[str], runs: Sequence[ArmRun]
) -> Arm:
    """An arm before any comparison. others: ids of the arms it will be compared with, its real-only
    arm first where it has one."""
    facts = {name: getattr(spec, name) for name in Arm.model_fields if hasattr(spec, name)}
    first = int(spec.baseline is not None)
    facts |= {"baseline": others[0] if first else None, "against": list(others[first:])}
    labels = config.sources[spec.source].labels if spec.source else ""
    return Arm(**facts, labels=labels, runs=list(runs))


def _run(study: Study, trained: TrainedArm) -> ArmRun:
    if trained.why:
        return ArmRun(seed=trained.seed, status="failed", message=trained.why)
    students = [each.student for each in trained.folds]
    made = [study.executor.done[work.digest].metrics for work in students if work]
    models = [
        TrainedModel(validation_f1=each["validation"]["f1"], threshold=each["threshold"])
        for each in made
    ]
    facts = {"folds": models} if study.plan.cross_validated else dict(models[0])
    return ArmRun(seed=trained.seed, status="completed", **facts)


def _measured(study: Study, trained: TrainedArm) -> Run:
    """The metrics of a completed run on every image of every place; of an image that the models of
    several folds are scored on, their means."""
    found: dict[tuple[Place, str], list[dict[str, float]]] = {}
    for name, works in trained.scores.items():
        for work in works:
            for image, values in _scored(study, name, work).items():
                found.setdefault(image, []).append(values)
    return {image: _mean(values) for image, values in found.items()}


def _mean(values: Sequence[dict[str, float]]) -> dict[str, float]:
    """Metric by metric, to as many digits as single values have; undefined where one of them is."""
    if len(values) == 1:
        return values[0]
    sums = {name: math.fsum(each[name] for each in values) for name in values[0]}
    return {
        name: round(total / len(values), 6) if math.isfinite(total) else math.nan
        for name, total in sums.items()
    }


def _scored(study: Study, name: str, work: Work) -> Run:
    """What an evaluation found on the set of that name."""
    statistics = study.plan.config.statistics
    metrics = metrics_of(statistics)
    found: Run = {}
    folder = study.executor.done[work.digest].path
    tables = [folder / "per_image.csv", folder / "per_image_observers.csv"]
    for path in filter(Path.is_file, tables):
        for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))):
            # Other models are human observers; the first table is that of the reference.
            if row["model"] == "model" and row["region"] == statistics.region:
                place = Place(set=name, observer=row.get("observer", REFERENCE))
                found[place, row["id"]] = parsed(row, metrics)
    return found
