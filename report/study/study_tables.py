"""Tables of a study."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from vesselforge.engine.documents import records
from vesselforge.pipeline.study.schema import EnsembleScore, Place, Realism, Results
from vesselforge.report.study import arm_names as on
from vesselforge.report.study.study_reading import ImageRow, Study
from vesselforge.report.tables import (
    ABSENT,
    Table,
    counted,
    duration,
    fixed,
    interval,
    number,
    plain,
    plural,
    signed,
    significant,
    spoken,
)


@dataclass(frozen=True)
class Named(Table):
    """A table whose first columns are names, though some may begin with a number."""

    names: int = 1

    @property
    def numeric(self) -> list[bool]:
        return [False] * self.names + super().numeric[self.names :]


MOST_IMAGE_ROWS = 600
"""Of one place; the rest is in per_image.csv."""
MOST_COPIES = 200


def score_table(
    results: Results, scores: Sequence[EnsembleScore], caption: str, ensembles: bool
) -> Table | None:
    """Levels of ensembles or of references, a column a place."""
    if not scores:
        return None
    labels = {arm.id: on.label(arm, results) for arm in results.arms}
    where = on.places(results)
    where += [p for p in dict.fromkeys(score.place for score in scores) if p not in where]
    where = [place for place in where if any(score.place == place for score in scores)]
    rows: dict[tuple[str, str, int], dict[Place, str]] = {}
    for score in scores:
        key = (labels.get(score.arm, spoken(score.arm)), score.method, score.members)
        rows.setdefault(key, {})[score.place] = interval(score.level, 4)
    columns = [on.place_name(place) for place in where]
    cells = [
        [name, *([method, str(members)] if ensembles else []), *(r.get(p, ABSENT) for p in where)]
        for (name, method, members), r in rows.items()
    ]
    head = ["Students of" if ensembles else "Reference"]
    head += ["Method", "Members"] if ensembles else []
    note = f"Mean {on.metric_name(results)} with {on.percent(results)} interval over images alone."
    return Named(caption, [*head, *columns], cells, sortable=True, note=note)


def filter_table(results: Results) -> Table | None:
    """Samples drawn, kept, and rejected by reason, a row a source."""
    if not results.synthetic:
        return None
    reasons = list(dict.fromkeys(r for one in results.synthetic for r in one.reasons))
    rows = [
        [
            one.origin,
            counted(one.drawn),
            counted(one.kept),
            f"{100 * one.kept / one.drawn:.1f} %" if one.drawn else ABSENT,
            *(counted(one.reasons.get(reason, 0)) for reason in reasons),
        ]
        for one in results.synthetic
    ]
    head = ["Samples of", "Drawn", "Kept", "Share kept", *map(spoken, reasons)]
    return Named("Pseudo-labels, and why samples were rejected.", head, rows, sortable=True)


def realism_table(results: Results) -> Table | None:
    """Realism and memorisation; arms with the same images share a row."""
    groups: dict[tuple[int, int, Realism], list[str]] = {}
    for arm in results.arms:
        if arm.realism is not None:
            groups.setdefault((arm.real_images, arm.count, arm.realism), []).append(arm.label)
    if not groups:
        return None
    rows = [
        [
            ", ".join(labels),
            counted(count),
            counted(real),
            with_error([found.kid], [found.kid_std]) or ABSENT,
            with_error([found.kid_floor], [found.kid_floor_std]) or ABSENT,
            *map(significant, (found.fid, found.distance)),
            share(found.copies),
            share(found.expected),
            significant(found.c_t),
        ]
        for (real, count, found), labels in groups.items()
    ]
    head = ["Arms", "Synthetic", "Real", "KID", "KID floor", "FID", "Distance"]
    head += ["Suspicious", "Expected", "C_T"]
    return Named("Synthetic against real images.", head, rows, sortable=True)


def spread(values: Sequence[float], text: Callable[[float], str]) -> str:
    """`41.5 (38 to 45)`: mean and range; one number where all are equal."""
    if not values:
        return ABSENT
    low, high = min(values), max(values)
    return text(low) if low == high else f"{text(mean(values))} ({text(low)} to {text(high)})"


def with_error(values: Iterable[float | None], errors: Iterable[float | None]) -> str:
    """`0.052 ± 0.004 (0.048 to 0.057)`: mean, mean error, range; empty without values."""
    known, found = ([v for v in given if v is not None] for given in (values, errors))
    if not known:
        return ""
    whole, _, ends = spread(known, two).partition(" ")
    return f"{whole}{f' ± {two(mean(found))}' if found else ''} {ends}".rstrip()


def two(value: float) -> str:
    """With as many digits as an error leaves."""
    return significant(value, 2)


def tenths(value: float) -> str:
    """A mean of counts."""
    return f"{value:,.1f}".removesuffix(".0")


def share(value: float | None) -> str:
    found = number(value)
    return ABSENT if found is None else f"{100 * found:.3g} %"


def copy_table(results: Results) -> Table | None:
    """Suspicious samples and their nearest training images, nearest first."""
    if not results.copies:
        return None
    nearest = sorted(results.copies, key=lambda c: (c.distance, c.source, c.sample))
    rows = [
        [c.sample, c.image, c.source, fixed(c.distance, 3), fixed(c.overlap, 3), fate(c.rejected)]
        for c in nearest[:MOST_COPIES]
    ]
    left_out = len(results.copies) - len(rows)
    note = f"{left_out:,} farther ones are in results.json alone." if left_out else ""
    head = ["Sample", "Nearest training image", "Samples of", "Distance", "Vessel overlap", "Fate"]
    return Named("Suspiciously near samples.", head, rows, sortable=True, note=note, names=3)


def fate(rejected: str) -> str:
    return f"rejected: {spoken(rejected)}" if rejected else "kept"


def image_table(study: Study, place: Place) -> Table | None:
    """Arm minus real-only, image by image, of one place; the largest where there are too many."""
    rows = [r for r in study.images or () if (r.set, r.observer) == (place.set, place.observer)]
    if not rows:
        return None
    labels = {arm.id: on.label(arm, study.results) for arm in study.results.arms}
    shown = sorted(rows, key=_by_size)[:MOST_IMAGE_ROWS] if len(rows) > MOST_IMAGE_ROWS else rows
    cells = [
        [
            row.image,
            labels.get(row.arm, row.arm),
            signed(row.difference),
            fixed(row.value),
            fixed(row.baseline),
            str(row.seeds),
        ]
        for row in shown
    ]
    name = on.metric_name(study.results)
    note = f"{name}, means over seeds."
    if len(shown) < len(rows):
        note += (
            f" The {len(shown):,} differences of {len(rows):,} that are farthest from zero, in "
            "either direction; all of them are in per_image.csv."
        )
    head = ["Image", "Arm", "Difference", name, "Real only", "Seeds"]
    caption = f"Image by image on {on.place_name(place)}."
    return Named(caption, head, cells, sortable=True, note=note, names=2)


def _by_size(row: ImageRow) -> tuple[float, str, str]:
    return -abs(row.difference), row.arm, row.image


def training_table(results: Results) -> Table | None:
    """Every training of every arm."""
    rows = [
        [
            on.label(arm, results),
            str(run.seed),
            run.status,
            fixed(run.validation_f1),
            fixed(run.threshold, 3),
            run.message or ABSENT,
        ]
        for arm in results.arms
        for run in arm.runs
    ]
    head = ["Arm", "Seed", "Status", "Validation F1", "Threshold", "Message"]
    note = "Thresholds are chosen on validation images."
    return Named("Trainings.", head, rows, sortable=True, note=note) if rows else None


def step_table(steps: Iterable[dict[str, Any]]) -> Table | None:
    """Steps in the order of run.json."""
    rows = [
        [
            spoken(str(step.get("step") or ABSENT)),
            str(step.get("kind") or ABSENT),
            str(step.get("digest") or ABSENT),
            "yes" if step.get("reused") else "no",
            duration(step.get("seconds")),
        ]
        for step in steps
    ]
    head = ["Step", "Stage", "Digest", "Reused", "In this run"]
    caption = f"Steps of this run ({plural(len(rows), 'step')})"
    return Table(caption, head, rows) if rows else None


def artifact_table(record: dict[str, Any]) -> Table | None:
    """Every [kind, digest] that run.json names, however deep: shared ones, then each run's."""
    rows = [[name, kind, digest] for name, kind, digest in _references(record.get("artifacts"), "")]
    for run in records(record.get("arms")):
        name = f"{plain(run.get('arm') or run.get('label'))}, seed {plain(run.get('seed'))}"
        rows += [[n, kind, digest] for n, kind, digest in _references(run.get("artifacts"), name)]
    caption = f"Artifacts ({len(rows):,})"
    return Named(caption, ["Name", "Stage", "Digest"], rows, sortable=True) if rows else None


def _references(value: Any, name: str) -> Iterable[tuple[str, str, str]]:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value):
        yield name or ABSENT, value[0], value[1]
    elif isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value, 1)
        for key, item in inner:
            yield from _references(item, f"{name}, {spoken(str(key))}" if name else str(key))


def version_table(versions: dict[str, Any]) -> Table | None:
    rows = [[name, plain(version)] for name, version in versions.items()]
    return Table("Versions", ["Package", "Version"], rows, align=False) if rows else None
