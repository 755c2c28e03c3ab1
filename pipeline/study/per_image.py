"""What was measured, image by image: in memory, and as per_image.csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from vesselforge.configs.errors import WorkspaceError
from vesselforge.pipeline.statistics.families import Runs
from vesselforge.pipeline.study.schema import PER_IMAGE_COLUMNS, Arm, Endpoint, Place

Values = dict[Place, dict[str, dict[int, dict[str, float]]]]
"""Of one metric: place → arm id → seed → image id → value; NaN where it is undefined."""
EXPECTED = "the table that `vesselforge compare` of this version writes: copy it again, or run it"


def put(values: Values, place: Place, arm: str, seed: int, image: str, value: float) -> None:
    values.setdefault(place, {}).setdefault(arm, {}).setdefault(seed, {})[image] = value


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
        for name, part in parts.items():
            for arm, runs in values[part].items():
                for seed, images in runs.items():
                    for image, value in images.items():
                        put(found, endpoint.place, arm, seed, f"{name}/{image}", value)
    return found | {place: runs for place, runs in values.items() if place not in found}


def as_csv(arms: Sequence[Arm], values: dict[str, Values], metrics: Sequence[str]) -> str:
    """One line for each run, place and image. metrics: the main one, then those with a column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    main, *further = metrics
    writer.writerow([*PER_IMAGE_COLUMNS, *further])
    for place, of_arms in values.get(main, {}).items():
        for arm in arms:
            for seed, images in of_arms.get(arm.id, {}).items():
                base = of_arms.get(arm.baseline or "", {}).get(seed, {})
                others = [values[name][place][arm.id][seed] for name in further]
                for image, value in sorted(images.items()):
                    other = base.get(image, math.nan)
                    numbers = [value, other, value - other, *(each[image] for each in others)]
                    cells = [_cell(number) for number in numbers]
                    writer.writerow([arm.id, seed, place.set, place.observer, image, *cells])
    return text.getvalue()


def from_csv(path: Path, metrics: Sequence[str]) -> dict[str, Values]:
    """Metric → values, as `as_csv` wrote them. Raises WorkspaceError for anything else."""
    main, *further = metrics
    columns = {main: "value"} | {name: name for name in further}
    found: dict[str, Values] = {name: {} for name in columns}
    try:
        rows = csv.DictReader(io.StringIO(path.read_text(), newline=""))
        missing = [c for c in (*PER_IMAGE_COLUMNS, *further) if c not in (rows.fieldnames or ())]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        for row in rows:
            if None in row.values():
                raise ValueError(f"line {rows.line_num} cut off")
            place = Place(set=row["set"], observer=row["observer"])
            for name, column in columns.items():
                value = float(row[column]) if row[column] else math.nan
                put(found[name], place, row["arm"], int(row["seed"]), row["image"], value)
    except OSError as error:
        raise WorkspaceError(
            f"{path}: cannot be read ({error.strerror}); expected {EXPECTED}"
        ) from None
    except (ValueError, TypeError, csv.Error) as error:
        raise WorkspaceError(f"{path}: found {error}; expected {EXPECTED}") from None
    return found


def _cell(value: float) -> str:
    return f"{value:.6f}" if math.isfinite(value) else ""
