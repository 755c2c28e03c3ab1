"""What a study measured, before anything is compared: read from its finished artifacts."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vesselforge.configs.statistics import REFERENCE, StatisticsSettings
from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.study.arms import ArmSpec
from vesselforge.pipeline.study.conduct import Study, TrainedArm
from vesselforge.pipeline.study.per_image import Measured, Run, parsed
from vesselforge.pipeline.study.schema import Arm, ArmRun, Place, Samples, SyntheticImages
from vesselforge.pipeline.study.study_pictures import write_samples
from vesselforge.pipeline.study.study_sources import synthetic_images


@dataclass(frozen=True)
class Findings:
    """arms: without effects. content: hash of each dataset. warned: of its images, line by line."""

    arms: list[Arm]
    measured: Measured
    content: dict[str, str]
    synthetic: list[SyntheticImages] = field(default_factory=list)
    samples: list[Samples] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)


def findings_of(study: Study, folder: Path) -> Findings:
    """Everything that the study's artifacts say; pictures of samples go into the run's folder."""
    plan, trained = study.plan, study.trained
    runs = {spec: [_run(study, t) for t in trained if t.spec == spec] for spec in plan.arms}
    return Findings(
        arms=[bare_arm(plan.config, spec, plan.compared[spec.id], runs[spec]) for spec in runs],
        measured={(t.spec.id, t.seed): _measured(study, t) for t in trained if not t.why},
        content=dict(plan.content),
        synthetic=[synthetic_images(study, origin) for origin in study.used],
        samples=write_samples(study, folder),
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
    if trained.why or trained.student is None:
        return ArmRun(seed=trained.seed, status="failed", message=trained.why)
    made = study.executor.done[trained.student.digest].metrics
    return ArmRun(
        seed=trained.seed,
        status="completed",
        validation_f1=made["validation"]["f1"],
        threshold=made["threshold"],
    )


def _measured(study: Study, trained: TrainedArm) -> Run:
    """The metrics of a completed run on every image of every place."""
    statistics = study.plan.config.statistics
    metrics = metrics_of(statistics)
    found: Run = {}
    for name, work in trained.evaluations.items():
        folder = study.executor.done[work.digest].path
        tables = [folder / "per_image.csv", folder / "per_image_observers.csv"]
        for path in filter(Path.is_file, tables):
            for row in csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))):
                # Other models are human observers; the first table is that of the reference.
                if row["model"] == "model" and row["region"] == statistics.region:
                    place = Place(set=name, observer=row.get("observer", REFERENCE))
                    found[place, row["id"]] = parsed(row, metrics)
    return found
