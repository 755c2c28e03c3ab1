"""What `generator.score` said about each sample: near which training image it lies."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import PseudoLabelSettings
from vesselforge.segmenter.labels.filters import Figures, Nearest

CLOSEST = "closest.csv"


@dataclass(frozen=True)
class Scores:
    """By the id of the sample; None where no filter asks."""

    nearest: dict[str, Nearest] | None = None

    @classmethod
    def read(cls, settings: PseudoLabelSettings, folder: Path | None) -> Scores:
        """folder: of an artifact of generator.score; None: no filter asks. Raises DataError."""
        if folder is None:
            return cls()
        return cls(read_nearest(folder) if settings.reject_copies else None)

    def add(self, figures: Figures) -> Figures:
        """The figures with what is known of their sample. Raises DataError where nothing is."""
        if self.nearest is None:
            return figures
        if figures.id not in self.nearest:
            raise DataError(
                f"scores, {CLOSEST}: found no row for sample {figures.id!r}, expected one for "
                "every sample; score the set of samples that is to be labelled"
            )
        return replace(figures, nearest=self.nearest[figures.id])


def read_nearest(folder: Path) -> dict[str, Nearest]:
    """Sample → its nearest training image. Raises DataError for a missing or damaged table, and
    where the scores could not say what is suspicious."""
    path, found = folder / CLOSEST, {}
    for row in _rows(path, ("sample", "image", "distance", "suspicious"), "reject_copies"):
        if row["suspicious"] not in ("0", "1"):
            raise DataError(
                f"{path}: found {row['suspicious']!r} as `suspicious` of {row['sample']}, expected "
                "0 or 1; what is suspicious is known where the set has validation images to "
                "compare with; add some or set pseudo_label.reject_copies to false"
            )
        distance = _number(path, row, "distance")
        found[row["sample"]] = Nearest(row["image"], distance, row["suspicious"] == "1")
    return found


def _rows(path: Path, columns: tuple[str, ...], who: str) -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError(
            f"{path}: no such file, needed by pseudo_label.{who}; score the samples so that it is "
            "written, or switch the filter off"
        )
    with path.open(newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in columns if name not in (reader.fieldnames or [])]
        if missing:
            raise DataError(
                f"{path}: found no column {', '.join(missing)}, needed by pseudo_label.{who}; "
                "score the samples anew, or switch the filter off"
            )
        return list(reader)


def _number(path: Path, row: dict[str, str], column: str) -> float:
    try:
        value = float(row[column])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise DataError(
            f"{path}: found {row[column]!r} as `{column}` of {row['sample']}, expected a number; "
            "score the samples anew"
        )
    return value
