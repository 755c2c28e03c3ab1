"""What a study measured, before anything is compared: read from its finished artifacts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselforge.configs.statistics import REFERENCE, StatisticsSettings
from vesselforge.configs.study import StudyConfig
from vesselforge.engine.artifacts import Artifact
from vesselforge.pipeline.study.arms import ArmSpec
from vesselforge.pipeline.study.conduct import Study, TrainedArm
from vesselforge.pipeline.study.per_image import Measured, parsed
from vesselforge.pipeline.study.schema import Arm, ArmRun, Place, Samples, SyntheticImages
from vesselforge.pipeline.study.study_pictures import write_samples
from vesselforge.pipeline.study.study_sources import synthetic_images


@dataclass(frozen=True)
class Findings:
    """arms: without effects. content: hash of each dataset."""

    arms: list[Arm]
    measured: Measured
    content: dict[str, str]
    synthetic: list[SyntheticImages] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def findings_of(study: Study, folder: Path) -> Findings:
    """Everything that the study's artifacts say; pictures of samples go into the run's folder."""
    return Findings(
        arms=[_arm(study, spec) for spec in study.plan.arms],
        measured=_measured(study),
        content=dict(study.plan.content),
        synthetic=synthetic_images(study),
        samples=write_samples(study, folder),
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
    if trained.why or made is None:
        return ArmRun(seed=trained.seed, status="failed", message=trained.why)
    facts: dict[str, Any] = {"validation_f1": made.metrics["validation"]["f1"]}
    facts["threshold"] = made.metrics["threshold"]
    return ArmRun(seed=trained.seed, status="completed", **facts)


def _measured(study: Study) -> Measured:
    """The metrics of every completed run on every image of every place."""
    metrics = metrics_of(study.plan.config.statistics)
    return {
        (trained.spec.id, trained.seed): {
            (Place(set=name, observer=observer), row["id"]): parsed(row, metrics)
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
