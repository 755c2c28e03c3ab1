"""What was measured, run by run and image by image: in memory, and as per_image.csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vesselforge.configs.errors import WorkspaceError
from vesselforge.pipeline.statistics.families import Runs
from vesselforge.pipeline.study.schema import PER_IMAGE_COLUMNS, Endpoint, Place

Run = dict[tuple[Place, str], dict[str, float]]
"""(place, image id) → metric → value. Where it is undefined it is `math.nan` itself, so that runs
with the same values are equal."""
Measured = dict[tuple[str, int], Run]
"""(arm id, seed) → what that run measured."""
Values = dict[Place, dict[str, dict[int, dict[str, float]]]]
"""Of one metric: place → arm id → seed → image id → value."""
EXPECTED = "the table that `vesselforge compare` of this version writes: copy it again, or run it"


def parsed(cells: Mapping[str, str], metrics: Sequence[str]) -> dict[str, float]:
    """Metric → value, of a line of a table."""
    return {metric: float(cells[metric]) if cells[metric] else math.nan for metric in metrics}


def by_place(measured: Measured, metric: str) -> Values:
    """The values of one metric."""
    found: Values = {}
    for (arm, seed), run in measured.items():
        for (place, image), metrics in run.items():
            runs = found.setdefault(place, {}).setdefault(arm, {})
            runs.setdefault(seed, {})[image] = metrics[metric]
    return found


def table(of_arms: dict[str, dict[int, dict[str, float]]]) -> dict[str, Runs]:
    """Arm → seed → values in one order of images, NaN for an image that a run lacks."""
    images = sorted({i for runs in of_arms.values() for each in runs.values() for i in each})
    return {
        arm: {seed: [each.get(i, math.nan) for i in images] for seed, each in runs.items()}
        for arm, runs in of_arms.items()
    }


def with_endpoints(values: Values, endpoints: Iterable[Endpoint]) -> Values:
    """The places of endpoints first, those of several sets made of these sets' images; none of an
    endpoint that lacks one of its sets."""
    found: Values = {}
    for endpoint in endpoints:
        parts = {s: Place(set=s, observer=endpoint.place.observer) for s in endpoint.sets}
        if endpoint.place in values:
            found[endpoint.place] = values[endpoint.place]
            continue
        if not all(part in values for part in parts.values()):
            continue
        of_arms = found.setdefault(endpoint.place, {})
        for name, part in parts.items():
            for arm, runs in values[part].items():
                for seed, images in runs.items():
                    run = of_arms.setdefault(arm, {}).setdefault(seed, {})
                    run |= {f"{name}/{image}": value for image, value in images.items()}
    return found | {place: runs for place, runs in values.items() if place not in found}


def as_csv(measured: Measured, metrics: Sequence[str]) -> str:
    """One line for each run, place and image; a metric that is undefined there is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*PER_IMAGE_COLUMNS, *metrics])
    for (arm, seed), run in measured.items():
        for (place, image), own in run.items():
            numbers = (own[metric] for metric in metrics)
            cells = [f"{number:.6f}" if math.isfinite(number) else "" for number in numbers]
            writer.writerow([arm, seed, place.set, place.observer, image, *cells])
    return text.getvalue()


def from_csv(path: Path, metrics: Sequence[str]) -> Measured:
    """What `as_csv` wrote. Raises WorkspaceError for anything else."""
    found: Measured = {}
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(), newline=""))
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
