"""What a run or study would do, without doing any of it: what is there, what is to do, how long."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

from vesselforge.configs.errors import WorkspaceError
from vesselforge.configs.settings import FitSettings, GeneratorSettings, StartSettings
from vesselforge.engine.artifacts import MANIFEST, read_artifact
from vesselforge.engine.longer import Earlier, earlier_of
from vesselforge.engine.store import Store
from vesselforge.pipeline.graph import Work, closure
from vesselforge.pipeline.stages import STAGES
from vesselforge.pipeline.starts import STEP

LATEST = 20
"""Artifacts of a kind, the newest, whose time an estimate is taken from."""


def outlook(targets: list[Work], store: Store) -> dict[str, Any]:
    """All that is to be said before anything is done: rows, minutes, models to begin with, earlier
    trainings."""
    rows = preview(targets, store)
    found = {"stages": rows, "minutes": whole(rows), "starts": starts_of(targets)}
    return found | {"earlier": earlier_trainings(targets, store)}


def preview(targets: Iterable[Work], store: Store) -> list[dict[str, Any]]:
    """One row for each kind of stage: how many there are, how many are to be done, and the minutes
    that those will take one after the other; None where nothing of the kind was made before."""
    works = list(closure(targets).values())
    rows: list[dict[str, Any]] = []
    for kind in dict.fromkeys(work.kind for work in works):
        own = [work for work in works if work.kind == kind]
        to_do = [work for work in own if not work.is_done(store)]
        paces = list(_paces(store, kind)) if to_do else [0.0]
        units = sum(amount(work.settings) * _left(work, store) for work in to_do)
        minutes = round(median(paces) * units / 60, 1) if paces else None
        row = {"stage": kind, "in all": len(own), "to do": len(to_do)}
        rows.append(row | {"minutes, about": minutes})
    return rows


def starts_of(targets: Iterable[Work]) -> dict[str, str]:
    """The models that trainings of the targets begin with: name → folder and content."""
    works = closure(targets).values()
    return {
        work.step.removeprefix(STEP): f"{work.settings.model}, content {work.outside['model'][:12]}"
        for work in works
        if isinstance(work.settings, StartSettings)
    }


def _left(work: Work, store: Store) -> float:
    """The share of a training that is to do, for it may go on from an earlier one; else 1."""
    found = _earlier(work, store)
    return 1.0 if found is None else 1.0 - found.share


def earlier_trainings(targets: Iterable[Work], store: Store) -> dict[str, str]:
    """Of trainings that are to do and have an earlier one of the same: step → whether they go on
    from it, or why not."""
    to_do = [work for work in closure(targets).values() if not work.is_done(store)]
    found = {work.step: _earlier(work, store) for work in to_do}
    return {step: str(earlier) for step, earlier in found.items() if earlier is not None}


def _earlier(work: Work, store: Store) -> Earlier | None:
    folder = store.root / work.kind
    return earlier_of(STAGES[work.kind], work.settings, work.given, folder)


def whole(rows: list[dict[str, Any]]) -> float | None:
    """Minutes of all rows; None where one of them is not known."""
    minutes = [row["minutes, about"] for row in rows]
    return None if None in minutes else round(sum(minutes), 1)


def in_words(rows: list[dict[str, Any]]) -> str:
    """`7 stages to do, about 12 minutes one after the other`, or what is not known of that yet."""
    stages, minutes = sum(row["to do"] for row in rows), whole(rows)
    if not stages:
        return "0 stages to do: all of them are there"
    left = f"{stages} stage{'s' * (stages > 1)} to do"
    if minutes is not None:
        return f"{left}, about {minutes:g} minutes one after the other"
    new = [row["stage"] for row in rows if row["minutes, about"] is None]
    known = whole([row for row in rows if row["stage"] not in new])
    later = "which is known once such stages were made here; the progress line shows what is left"
    if not known:
        return f"{left}; how long is not known yet, {later}"
    return f"{left}, about {known:g} minutes and the time of {', '.join(new)}, {later}"


def _paces(store: Store, kind: str) -> Iterable[float]:
    """Seconds for a unit of `amount`, of the newest artifacts of a kind."""
    folders = [path.parent for path in (store.root / kind).glob(f"*/{MANIFEST}")]
    folders.sort(key=lambda folder: (folder / MANIFEST).stat().st_mtime, reverse=True)
    for folder in folders[:LATEST]:
        try:
            found = read_artifact(folder).manifest
            settings = STAGES[kind].settings.model_validate(found["settings"])
            yield float(found["seconds"]) / amount(settings)
        except (WorkspaceError, KeyError, TypeError, ValueError):
            continue  # of an older version, or damaged: no help


def amount(settings: object) -> float:
    """How much work a stage is, in units of its kind: pixels that a training is shown, images that
    are drawn; 1 where nothing tells."""
    if isinstance(settings, FitSettings):
        return float(settings.steps * settings.batch * settings.crop**2)
    if isinstance(settings, GeneratorSettings):
        return settings.kimg * 1000 * settings.resolution**2
    count = getattr(settings, "count", 1)
    return float(count) if isinstance(count, int) else 1.0
