"""The findings of several runs of one study as those of one. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vesselforge.configs.errors import WorkspaceError
from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.study.findings import Findings
from vesselforge.pipeline.study.per_image import Measured
from vesselforge.pipeline.study.schema import (
    Arm,
    ArmRun,
    EnsembleScore,
    Place,
    Results,
    SyntheticImages,
)

T = TypeVar("T", SyntheticImages, EnsembleScore)


@dataclass(frozen=True)
class PartialStudy:
    """One of the runs. gone: settings of an earlier version; measured: what per_image.csv holds."""

    name: str
    folder: Path
    config: StudyConfig
    gone: dict[str, Any]
    results: Results
    measured: Measured


Chosen = dict[tuple[str, int], tuple[PartialStudy, ArmRun]]
"""(arm id, seed) → where the run is taken from."""


def chosen(parts: Sequence[PartialStudy]) -> Chosen:
    """Each arm with each seed once; one that failed in one place counts where it was completed.

    Raises WorkspaceError where two runs completed it with different values.
    """
    found: Chosen = {}
    for part in parts:
        for arm in part.results.arms:
            for run in arm.runs:
                key = arm.id, run.seed
                if key not in found or found[key][1].status == "failed":
                    found[key] = part, run
                elif run.status == "completed":
                    _require_equal(arm, found[key], (part, run))
    order = {arm.id: at for at, arm in enumerate(parts[0].results.arms)}
    return dict(sorted(found.items(), key=lambda item: (order[item[0][0]], item[0][1])))


def _require_equal(
    arm: Arm, one: tuple[PartialStudy, ArmRun], other: tuple[PartialStudy, ArmRun]
) -> None:
    (first, run), (second, again) = one, other
    values = (part.measured.get((arm.id, run.seed)) for part in (first, second))
    if run != again or next(values) != next(values):
        raise WorkspaceError(
            f"{second.folder}: arm {arm.label}, seed {run.seed}: found other values than in "
            f"{first.folder}, expected each seed in one run alone, or equal in both; leave one out"
        )


def united(parts: Sequence[PartialStudy], runs: Chosen) -> Findings:
    """Runs, values and descriptions of all parts, but for pictures.

    What seeds share (a generator, a teacher) may have been made anew in each place, with other
    results; then each is kept under the name of its run, and a note says so. Ensembles are of the
    seeds of one place and are left out. Raises WorkspaceError where runs do not have the same
    images.
    """
    notes = [f"Merged from {', '.join(_seeds(part) for part in parts)}."]
    if any(part.results.ensembles for part in parts):
        notes.append("Ensembles are not shown: each was of the seeds of one run.")
    synthetic, differing = _each_once(parts, lambda r: r.synthetic, "origin")
    references, also = _each_once(parts, lambda r: r.references, "arm")
    for part in parts:
        if own := dict.fromkeys(what for what, name in differing + also if name == part.name):
            notes.append(
                f"Made anew by run {part.name}, with another result: {'; '.join(own)}. Differences "
                "between seeds hold that, too."
            )
    return Findings(
        arms=[
            arm.model_copy(
                update={"runs": [run for (id_, _), (_, run) in runs.items() if id_ == arm.id]}
            )
            for arm in parts[0].results.arms
        ],
        measured=_measured(runs),
        content=parts[0].results.content,
        references=references,
        synthetic=synthetic,
        notes=notes,
    )


def _seeds(part: PartialStudy) -> str:
    return f"{part.name} (seeds {', '.join(map(str, part.results.seeds))})"


def _measured(runs: Chosen) -> Measured:
    found: Measured = {}
    first = ""
    for (arm, seed), (part, run) in runs.items():
        if run.status != "completed":
            continue
        who, own = f"{part.folder}: arm {arm}, seed {seed}", part.measured.get((arm, seed), {})
        found[arm, seed], first = own, first or who
        there = next(iter(found.values()))
        if list(own) != list(there):
            raise WorkspaceError(
                f"{who}: found {len(own)} values of images, expected the {len(there)} of {first}, "
                "of the same images; copy the run's folder again"
            )
    return found


def _each_once(
    parts: Sequence[PartialStudy], items: Callable[[Results], list[T]], name: str
) -> tuple[list[T], list[tuple[str, str]]]:
    """Every different item; of two that differ under one name the later is named with its run.
    Also (name, run) of those."""
    found: list[T] = []
    differing = []
    for part in parts:
        before = list(found)
        taken = {(getattr(item, name), _place(item)) for item in before}
        for item in items(part.results):
            own = getattr(item, name)
            if item in before:
                continue
            if (own, _place(item)) in taken:
                differing.append((own, part.name))
                item = item.model_copy(update={name: f"{own} ({part.name})"})
            found.append(item)
    return found, differing


def _place(item: SyntheticImages | EnsembleScore) -> tuple[str, Place | None]:
    return (item.method, item.place) if isinstance(item, EnsembleScore) else ("", None)
