"""What the page of a study is made from: the files in its run folder."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import WorkspaceError
from vesselforge.engine.documents import read_object
from vesselforge.pipeline.study.schema import (
    PER_IMAGE,
    PER_IMAGE_COLUMNS,
    RESULTS,
    Results,
    read_results,
)
from vesselforge.report.tables import number

RECORD = "run.json"
PICTURES = "pictures"
_LARGEST_PICTURE = 20_000_000  # bytes; pairs of fundus images have a tenth of it


@dataclass(frozen=True)
class ImageRow:
    """One test image under one arm, means over the seeds. In units of the metric."""

    set: str
    observer: str
    arm: str
    image: str
    seeds: int
    value: float
    baseline: float
    difference: float


@dataclass(frozen=True)
class Study:
    """results: what was found; record: run.json, {} where there is none; images: per_image.csv,
    None where there is none; problems: what could not be read."""

    folder: Path
    results: Results
    record: dict[str, Any]
    images: list[ImageRow] | None
    problems: list[str] = field(default_factory=list)

    def picture(self, name: str, under: str = PICTURES) -> bytes | None:
        """A file of a folder in the run's; a name that leads elsewhere is no picture of ours."""
        if not name:
            return None
        path = self.folder / under / name
        told = f"{under}/{name}".lstrip("/")
        try:
            if Path(name).name != name or path.stat().st_size > _LARGEST_PICTURE:
                self.note(f"{told} is not shown: no plain file name, or over 20 MB")
                return None
            return path.read_bytes()
        except (OSError, ValueError):
            self.note(f"{told} cannot be read, and is not shown")
            return None

    def note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def read_study(folder: Path) -> Study:
    """Read a study's run folder; raises WorkspaceError when it holds no results of a study."""
    results = read_results(folder / RESULTS)
    problems: list[str] = []
    record = _record(folder / RECORD, problems)
    return Study(folder, results, record, _images(folder / PER_IMAGE, problems), problems)


def _record(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        return read_object(path, "the record of a study")
    except WorkspaceError:
        problems.append(f"{RECORD} is missing or no JSON: no times, settings and digests below")
        return {}


def _images(path: Path, problems: list[str]) -> list[ImageRow] | None:
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        problems.append(f"{PER_IMAGE} is missing or no text: no differences image by image")
        return None
    rows = csv.DictReader(io.StringIO(text, newline=""))
    missing = [name for name in PER_IMAGE_COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        problems.append(f"{PER_IMAGE} lacks the columns {', '.join(missing)}; it is not shown")
        return None
    groups: dict[tuple[str, str, str, str], list[tuple[float, float, float]]] = defaultdict(list)
    for row in rows:
        numbers = [number(row[name]) for name in ("value", "baseline", "difference")]
        if None not in numbers:  # real-only runs have no difference: nothing to compare
            key = (row["set"], row["observer"], row["arm"], row["image"])
            groups[key].append((numbers[0] or 0.0, numbers[1] or 0.0, numbers[2] or 0.0))
    return [_mean_row(key, found) for key, found in groups.items()]


def _mean_row(key: tuple[str, str, str, str], found: Sequence[tuple[float, ...]]) -> ImageRow:
    value, baseline, difference = (sum(column) / len(found) for column in zip(*found, strict=True))
    return ImageRow(*key, len(found), value, baseline, difference)
