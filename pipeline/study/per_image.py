"""What was measured, run by run and image by image: in memory, and as per_image.csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import WorkspaceError
from vesselforge.pipeline.study.schema import PER_IMAGE_COLUMNS, Endpoint, Place

Runs = dict[int, list[float]]
"""Seed → the metric of each image."""
Run = dict[tuple[Place, str], dict[str, float]]
"""(place, image id) → metric → value. Where it is undefined it is `math.nan` itself, so that runs
with the same values are equal."""
Measured = dict[tuple[str, int], Run]
"""(arm id, seed) → what that run measured."""
EXPECTED = "the table that `vesselforge compare` of this version writes: copy it again, or run it"


def parsed(cells: Mapping[str, str], metrics: Sequence[str]) -> dict[str, float]:
    """Metric → value, of a line of a table."""
    return {metric: float(cells[metric]) if cells[metric] else math.nan for metric in metrics}


def values_of(
    measured: Measured, metric: str, endpoints: Iterable[Endpoint]
) -> dict[Place, dict[str, Runs]]:
    """Place → arm id → seed → the metric of each image [I] in one order, NaN where a run lacks it.

    The places of endpoints come first, those of several sets made of these sets' images; none of an
    endpoint that lacks one of its sets.
    """
    there = dict.fromkeys(key for run in measured.values() for key in run)
    own = dict.fromkeys(place for place, _ in there)
    parts = {
        endpoint.place: [Place(set=s, observer=endpoint.place.observer) for s in endpoint.sets]
        for endpoint in endpoints
    }
    found: dict[Place, dict[str, Runs]] = {}
    for place in dict.fromkeys([*parts, *own]):
        members = [place] if place in own else parts[place]
        if not all(member in own for member in members):
            continue
        images = sorted((key for key in there if key[0] in members), key=lambda k: (k[0].set, k[1]))
        for (arm, seed), run in measured.items():
            row = [run.get(image, {}).get(metric, math.nan) for image in images]
            runs = found.setdefault(place, {}).setdefault(arm, {})
            runs[seed] = row
    return found


def as_rows(measured: Measured, metrics: Sequence[str]) -> Iterator[list[Any]]:
    """One row for each run, place and image; a metric that is undefined there is an empty cell."""
    yield [*PER_IMAGE_COLUMNS, *metrics]
    for (arm, seed), run in measured.items():
        for (place, image), own in run.items():
            numbers = (own[metric] for metric in metrics)
            cells = [f"{number:.6f}" if math.isfinite(number) else "" for number in numbers]
            yield [arm, seed, place.set, place.observer, image, *cells]


def from_csv(path: Path, metrics: Sequence[str]) -> Measured:
    """What `write_results` wrote. Raises WorkspaceError for anything else."""
    found: Measured = {}
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline=""))
        missing = [c for c in (*PER_IMAGE_COLUMNS, *metrics) if c not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        for row in rows:
            if None in row.values():
                raise ValueError(f"line {rows.line_num} cut off")
            place = Place(set=row["set"], observer=row["observer"])
            run = found.setdefault((row["arm"], int(row["seed"])), {})
            run[place, row["image"]] = parsed(row, metrics)
    except OSError as error:
        raise WorkspaceError(
            f"{path}: cannot be read ({error.strerror}); expected {EXPECTED}"
        ) from None
    except (ValueError, TypeError, csv.Error) as error:
        raise WorkspaceError(f"{path}: found {error}; expected {EXPECTED}") from None
    return found
