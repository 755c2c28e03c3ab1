"""What a study measured, before anything is compared: read from its finished artifacts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselforge.configs.statistics import REFERENCE, StatisticsSettings
from vesselforge.configs.study import StudyConfig
from vesselforge.engine.artifacts import Artifact
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.study.arms import ArmSpec
from vesselforge.pipeline.study.conduct import Study, TrainedArm
from vesselforge.pipeline.study.per_image import Measured, parsed
from vesselforge.pipeline.study.schema import (
    Arm,
    ArmRun,
    Copy,
    EnsembleScore,
    Place,
    Samples,
    SyntheticImages,
)
from vesselforge.pipeline.study.study_pictures import suspicious, write_samples
from vesselforge.pipeline.study.study_sources import realism_of, synthetic_images


@dataclass(frozen=True)
class Findings:
    """arms: without effects. content: hash of each dataset."""

    arms: list[Arm]
    measured: Measured
    content: dict[str, str]
    references: list[EnsembleScore] = field(default_factory=list)
    ensembles: list[EnsembleScore] = field(default_factory=list)
    synthetic: list[SyntheticImages] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def findings_of(study: Study, folder: Path) -> Findings:
    """Everything that the study's artifacts say; pictures of samples and of copies go into the
    run's folder."""
    return Findings(
        arms=[_arm(study, spec) for spec in study.plan.arms],
        measured=_measured(study),
        content=dict(study.plan.content),
        references=_references(study),
        ensembles=_ensembles(study),
        synthetic=synthetic_images(study),
        samples=write_samples(study, folder),
        copies=suspicious(study, folder),
    )


def metrics_of(statistics: StatisticsSettings) -> list[str]:
    """The main metric and the others."""
    return [statistics.metric, *statistics.secondary]


def _arm(study: Study, spec: ArmSpec) -> Arm:
    runs = [_run(study, t) for t in study.trained if t.spec == spec]
    return bare_arm(study.plan.config, spec, study.plan.compared[spec.id], runs)


def bare_arm(
    config: StudyConfig, spec: ArmSpec, others: Sequence[str], runs: Sequence[ArmRun]
) -> Arm:
    """An arm before any comparison. others: ids of the arms it will be compared with, its real-only
    arm first where it has one."""
    facts = {name: getattr(spec, name) for name in Arm.model_fields if hasattr(spec, name)}
    return Arm(
        **facts
        | {
            "baseline": others[0] if spec.baseline else None,
            "against": list(others[1:] if spec.baseline else others),
            "labels": config.sources[spec.source].labels if spec.source else "",
            "runs": list(runs),
        }
    )


def _run(study: Study, trained: TrainedArm) -> ArmRun:
    made = study.executor.artifact(trained.student) if trained.student else None
    facts: dict[str, Any] = {"seed": trained.seed}
    if trained.spec.order is not None:
        origin = study.plan.origin(trained.spec, trained.seed)
        facts |= {"origin": origin.name, "realism": realism_of(study, origin, trained.spec.count)}
    if trained.why or made is None:
        facts |= {"message": trained.why, "short": trained.short}
        return ArmRun(status="failed", **facts)
    facts |= {"validation_f1": made.metrics["validation"]["f1"]}
    return ArmRun(status="completed", threshold=made.metrics["threshold"], **facts)


def _measured(study: Study) -> Measured:
    """The metrics of every completed run on every image of every place."""
    columns = {metric: metric for metric in metrics_of(study.plan.config.statistics)}
    return {
        (trained.spec.id, trained.seed): {
            (Place(set=name, observer=observer), row["id"]): parsed(row, columns)
            for name, work in trained.evaluations.items()
            for observer, row in _rows(study, study.executor.done[work.digest])
        }
        for trained in study.trained
        if not trained.why
    }


def _rows(study: Study, made: Artifact) -> Iterator[tuple[str, dict[str, str]]]:
    """(observer, line of one image) of one evaluation of one model."""
    for name, default in (("per_image.csv", REFERENCE), ("per_image_observers.csv", None)):
        path = made.path / name
        if not path.is_file():
            continue
        for row in csv.DictReader(io.StringIO(path.read_text())):
            if row["model"] == "model" and row["region"] == study.plan.config.statistics.region:
                yield default or row["observer"], row  # others are a human observer's own


def _references(study: Study) -> list[EnsembleScore]:
    """The teachers, and on the primary set the further observers."""
    found: list[EnsembleScore] = []
    for name, works in study.plan.teachers().items():
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
