"""Suspicious samples beside the training images that they are near to."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

from data.store import Artifact
from flows.study.plan import Source
from flows.study.schema import Copy
from flows.study.study import Study

MOST = 24
"""Pairs shown for each source; all of them are in closest.csv of the scores."""
PICTURES = "pictures"


def suspicious(study: Study, folder: Path) -> list[Copy]:
    """The nearest samples of each source that are called suspicious, nearest first.

    Of each source the largest selection is looked at. Pictures of pairs are copied into
    `folder/pictures/`; they show training images and stay in the workspace.
    """
    shutil.rmtree(folder / PICTURES, ignore_errors=True)
    found: list[Copy] = []
    for number, (source, count) in enumerate(study.plan.sources().items()):
        work = study.realism().get((source, count))
        scores = study.fanout.artifact(work) if work is not None else None
        if scores is not None:
            found += _of_source(source, f"s{number}", scores, _overlaps(study, source), folder)
    return found


def _of_source(
    source: Source, prefix: str, scores: Artifact, overlaps: dict[str, float], folder: Path
) -> list[Copy]:
    rows = _table(scores, "closest.csv")
    near = [row for row in rows if row["suspicious"] == "1"][:MOST]
    return [
        Copy(
            source=source.name,
            sample=row["sample"],
            image=row["image"],
            distance=float(row["distance"]),
            overlap=overlaps.get(row["sample"]),
            picture=_picture(scores.path / "pairs" / f"{row['rank']}.png", prefix, folder),
        )
        for row in near
    ]


def _overlaps(study: Study, source: Source) -> dict[str, float]:
    """Sample → overlap of its vessel map with the nearest real one, where that was measured."""
    found = {}
    for work in study.used.get(source, []):
        made = study.fanout.artifact(work)
        for row in _table(made, "labels.csv") if made is not None else []:
            if row.get("overlap"):
                found[row["id"]] = float(row["overlap"])
    return found


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
