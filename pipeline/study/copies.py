"""Suspicious samples beside the training images that they are near to."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

from vesselforge.engine.artifacts import Artifact
from vesselforge.pipeline.study.conduct import Study
from vesselforge.pipeline.study.schema import Copy
from vesselforge.pipeline.study.study_works import Origin

MOST = 24
"""Pairs shown for each source; all of them are in closest.csv of the scores."""
PICTURES = "pictures"


def suspicious(study: Study, folder: Path) -> list[Copy]:
    """The samples of each source that are called suspicious, nearest first, MOST of each.

    Where a filter looks for copies these are of all samples that were drawn, kept or not; else
    of the largest selection. Pictures of pairs are copied into `folder/pictures/`; they show
    training images and stay in the workspace.
    """
    shutil.rmtree(folder / PICTURES, ignore_errors=True)
    found: list[Copy] = []
    for number, origin in enumerate(study.plan.origins()):
        labels = _labels(study, origin)
        copies = [
            copy
            for part, scores in enumerate(_scores(study, origin))
            for copy in _of_scores(origin, scores, labels, folder, f"s{number}-{part}")
        ]
        found += sorted(copies, key=lambda copy: copy.distance)[:MOST]
    return found


def _scores(study: Study, origin: Origin) -> Iterator[Artifact]:
    """The scores that tell suspicious samples of a source."""
    plan = study.plan
    works = [plan.pool_scores(origin, pool) for pool in range(len(study.used.get(origin, [])))]
    if not any(works):
        works = [study.realism().get((origin, plan.origins()[origin]))]
    for work in works:
        made = study.executor.artifact(work) if work is not None else None
        if made is not None:
            yield made


def _of_scores(
    origin: Origin, scores: Artifact, labels: dict[str, dict[str, str]], folder: Path, prefix: str
) -> Iterator[Copy]:
    near = [row for row in _table(scores, "closest.csv") if row["suspicious"] == "1"]
    for row in near[:MOST]:
        label = labels.get(row["sample"], {})
        overlap = label.get("overlap")
        yield Copy(
            source=origin.name,
            sample=row["sample"],
            image=row["image"],
            distance=float(row["distance"]),
            overlap=float(overlap) if overlap else None,
            rejected=label.get("reason", ""),
            picture=_picture(scores.path / "pairs" / f"{row['rank']}.png", prefix, folder),
        )


def _labels(study: Study, origin: Origin) -> dict[str, dict[str, str]]:
    """Sample → its line in labels.csv."""
    made = [study.executor.artifact(work) for work in study.used.get(origin, [])]
    return {r["id"]: r for m in made if m is not None for r in _table(m, "labels.csv")}


def _table(artifact: Artifact, name: str) -> list[dict[str, str]]:
    path = artifact.path / name
    return list(csv.DictReader(io.StringIO(path.read_text()))) if path.is_file() else []


def _picture(path: Path, prefix: str, folder: Path) -> str:
    """Copy the picture of a pair; its name, or nothing where none was drawn."""
    if not path.is_file():
        return ""
    (folder / PICTURES).mkdir(exist_ok=True)
    name = f"{prefix}-{path.name}"
    shutil.copyfile(path, folder / PICTURES / name)
    return name
