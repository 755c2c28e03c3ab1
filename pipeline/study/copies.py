"""Suspicious samples beside the training images that they are near to."""

from __future__ import annotations

import csv
import io
import shutil
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
        pools = study.used.get(origin, [])
        made = [a for pool in pools if (a := study.executor.artifact(pool)) is not None]
        labels = {row["id"]: row for artifact in made for row in _table(artifact, "labels.csv")}
        near = [
            (float(row["distance"]), f"s{number}-{at}-", row, scores)
            for at, scores in enumerate(_scores(study, origin))
            for row in _table(scores, "closest.csv")
            if row["suspicious"] == "1"
        ]
        for distance, prefix, row, scores in sorted(near, key=lambda one: one[0])[:MOST]:
            label = labels.get(row["sample"], {})
            file = scores.path / "pairs" / f"{row['rank']}.png"
            picture = f"{prefix}{file.name}" if file.is_file() else ""
            if picture:
                (folder / PICTURES).mkdir(exist_ok=True)
                shutil.copyfile(file, folder / PICTURES / picture)
            found.append(
                Copy(
                    source=origin.name,
                    sample=row["sample"],
                    image=row["image"],
                    distance=distance,
                    overlap=float(label["overlap"]) if label.get("overlap") else None,
                    rejected=label.get("reason", ""),
                    picture=picture,
                )
            )
    return found


def _scores(study: Study, origin: Origin) -> list[Artifact]:
    """The scores that tell suspicious samples of a source."""
    works = [study.plan.pool_scores(origin, n) for n in range(len(study.used.get(origin, [])))]
    if not any(works):
        works = [study.realism().get((origin, study.plan.origins()[origin]))]
    made = [study.executor.artifact(work) for work in works if work is not None]
    return [artifact for artifact in made if artifact is not None]


def _table(artifact: Artifact, name: str) -> list[dict[str, str]]:
    path = artifact.path / name
    return list(csv.DictReader(io.StringIO(path.read_text()))) if path.is_file() else []
