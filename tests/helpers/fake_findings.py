"""A study of named arms with controls, measured by nobody: values drawn from fixed streams.

What a run (arm, seed) measured does not depend on which other runs there are, so that a study of
two seeds and two of one seed each hold the same.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.record import RunRecord
from vesselforge.pipeline.study.arms import ArmSpec, compared
from vesselforge.pipeline.study.findings import Findings, bare_arm, metrics_of
from vesselforge.pipeline.study.per_image import Measured, Run
from vesselforge.pipeline.study.schema import (
    ArmRun,
    Place,
    Realism,
    Results,
    Samples,
    SyntheticImages,
)
from vesselforge.pipeline.study.study_results import write_results
from vesselforge.pipeline.study.study_works import study_arms

AVAILABLE = 16
IMAGES = {"drive": 8, "chase-db1": 6, "stare": 5}
OWN, CHASE, STARE = (Place(set=name, observer="1st") for name in IMAGES)
ELSEWHERE = Place(set="other cameras", observer="1st")
PLACES = [OWN, Place(set="drive", observer="2nd"), CHASE, STARE]
GAINS = {"P": 0.02, "G": 0.001, "P-first": 0.03}

STUDY: dict[str, Any] = {
    "data": {"name": "drive"},
    "external": [{"name": "chase-db1"}, {"name": "stare"}],
    "sources": {"fitted": {"kind": "phantom"}, "gan": "stylegan2", "rest": "unlabelled"},
    "synthetic": {"reseed": "all"},
    "arms": {
        "counts": [0],
        "real_images": [4, 16],
        "controls": ["R1"],
        "named": {
            "R0": {},
            "R1": {"strength": "strong"},
            "R1-long": {"strength": "strong", "longer": 2, "against": ["R1"]},
            "R2": {"source": "rest", "strength": "strong"},
            "P": {"source": "fitted", "count": 20, "strength": "strong", "against": ["R0"]},
            "P-first": {
                "source": "fitted",
                "count": 20,
                "strength": "strong",
                "order": "synthetic-first",
            },
            "G": {"source": "gan", "count": 50, "strength": "strong", "against": ["P", "R2"]},
        },
    },
    "statistics": {
        "bootstrap": 200,
        "metrics": ["cldice", "f1_best"],
        "primary_arms": ["P", "G"],
        "primary_real_images": [4],
        "endpoints": [
            {"name": "other cameras", "sets": ["chase-db1", "stare"]},
            {"name": "DRIVE", "sets": ["drive"]},
        ],
    },
}
"""Without seeds."""


def study_of(build: Callable[..., StudyConfig], seeds: list[int], **changes: Any) -> StudyConfig:
    """changes: of groups of settings; build: the fixture `tiny_study`."""
    values = dict(STUDY)
    for name, value in changes.items():
        old = values.get(name)
        values[name] = old | value if isinstance(old, dict) and isinstance(value, dict) else value
    return build(**values | {"arms": values["arms"] | {"seeds": seeds}})


def findings_of(config: StudyConfig, failed: dict[str, list[int]] | None = None) -> Findings:
    """failed: name of an arm → its seeds that gave no result."""
    specs = study_arms(config, AVAILABLE)
    others = compared(specs, config.arms.controls)
    measured: Measured = {}
    arms = []
    for spec in specs:
        runs = []
        for seed in config.arms.seeds:
            lost = seed in (failed or {}).get(spec.name, [])
            runs.append(_run(seed, lost))
            if not lost:
                measured[spec.id, seed] = _measure(spec, seed, metrics_of(config.statistics))
        arms.append(bare_arm(config, spec, others[spec.id], runs))
    return Findings(
        arms=arms,
        measured=measured,
        content={name: f"content of {name}" for name in IMAGES},
        synthetic=[
            SyntheticImages(
                origin=f"{kind}, seed {s}",
                source=kind,
                real_images=4,
                seed=s,
                drawn=50 + s,
                kept=40,
                reasons={"dark": 10 + s},
                in_range=48,
                kept_in_range=40,
                realism=Realism(kid=0.1 + s / 7, kid_std=0.2, kid_floor=0.01, kid_floor_std=0.0),
            )
            for kind in ("gan", "fitted")
            for s in config.arms.seeds
        ],
        samples=[
            Samples(
                source="gan", picture="samples-gan.png", caption="gan", nearest="nearest-gan.png"
            ),
            Samples(source="rest", caption="not shown"),
        ],
    )


def write_run(workspace: Path, config: StudyConfig, found: Findings | None = None) -> Results:
    """The run folder of a study, as `vesselforge compare` leaves it, but for its page."""
    record = RunRecord(workspace, config)
    results = write_results(config, found or findings_of(config), record.folder)
    for name in ("samples-gan.png", "nearest-gan.png"):
        (record.folder / name).write_bytes(config.name.encode())
    record.note("arms", [{"arm": arm.id, "seed": 0, "artifacts": {}} for arm in results.arms])
    record.finish("completed")
    return results


def _run(seed: int, failed: bool) -> ArmRun:
    if failed:
        return ArmRun(seed=seed, status="failed", message="only 1 of 9 were kept")
    return ArmRun(seed=seed, status="completed", validation_f1=0.7 + seed / 90, threshold=0.5)


def _measure(spec: ArmSpec, seed: int, metrics: list[str]) -> Run:
    found: Run = {}
    for metric in metrics:
        for place in PLACES:
            key = f"{spec.id} {seed} {place.set} {place.observer} {metric}"
            random = np.random.default_rng(zlib.crc32(key.encode()))
            run = 0.002 * random.normal()
            for image in range(IMAGES[place.set]):
                value = 0.8 - 0.02 * image + GAINS.get(spec.name, 0.0) + run
                value += 0.004 * random.normal()
                found.setdefault((place, f"{image:02d}"), {})[metric] = round(value, 6)
    return found
