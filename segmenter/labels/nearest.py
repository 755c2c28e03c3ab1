"""Near which training image each sample is, as `generator.score` found."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from vesselforge.configs.errors import DataError

TABLE = "closest.csv"


@dataclass(frozen=True)
class Nearest:
    """The training image nearest to a sample. suspicious: nearer than comes by chance."""

    image: str
    distance: float
    suspicious: bool


def read_nearest(folder: Path) -> dict[str, Nearest]:
    """Sample → its nearest training image. Raises DataError for a missing table, and where the
    scores could not say what is suspicious."""
    path = folder / TABLE
    if not path.is_file():
        raise DataError(
            f"{path}: no such file, needed by pseudo_label.reject_copies; score the samples so "
            "that it is written, or switch the filter off"
        )
    with path.open(newline="") as stream:
        return {row["sample"]: _nearest(path, row) for row in csv.DictReader(stream)}


def _nearest(path: Path, row: dict[str, str]) -> Nearest:
    if row["suspicious"] not in ("0", "1"):
        raise DataError(
            f"{path}: found {row['suspicious']!r} as `suspicious` of {row['sample']}, expected "
            "0 or 1; what is suspicious is known where the set has validation images to "
            "compare with; add some or set pseudo_label.reject_copies to false"
        )
    return Nearest(row["image"], float(row["distance"]), row["suspicious"] == "1")
