"""Seeds of one study that were run in different places or on different days, as one run.

What a run folder holds is enough: figures of comparisons are computed anew from the images' values,
what describes the synthetic images is taken over. Nothing is trained, and no artifact is needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import WorkspaceError
from vesselforge.configs.load import read_yaml, validate
from vesselforge.configs.study import StudyConfig
from vesselforge.engine.artifacts import identity_of
from vesselforge.engine.documents import flat
from vesselforge.engine.store import explained
from vesselforge.pipeline.places import RECORD, find_run, run_folder
from vesselforge.pipeline.record import RunRecord, record_of
from vesselforge.pipeline.study.findings import Findings, metrics_of
from vesselforge.pipeline.study.per_image import Measured, from_csv
from vesselforge.pipeline.study.schema import (
    PER_IMAGE,
    RESULTS,
    ArmRun,
    Results,
    Samples,
    SyntheticImages,
    read_results,
)
from vesselforge.pipeline.study.study_pictures import remove_sheets
from vesselforge.pipeline.study.study_results import write_results

CONFIG = "config.yaml"
MERGED = "merged"
"""Of run.json: names of the runs that it was merged from."""
MAY_DIFFER = ("name", "arms.seeds")


@dataclass(frozen=True)
class PartialStudy:
    """One of the runs. measured: what per_image.csv holds."""

    folder: Path
    config: StudyConfig
    results: Results
    measured: Measured

    @property
    def name(self) -> str:
        return self.folder.absolute().name


Chosen = dict[tuple[str, int], tuple[PartialStudy, ArmRun]]
"""(arm id, seed) → where the run is taken from."""


def merge_runs(name: str, given: Sequence[str], workspace: Path) -> dict[str, Any]:
    """Write workspace/runs/`name`, but for its page, from the folders of runs, given by name or
    path.

    Returns `run` (its folder), `headline` and `failed`, as `compare` does. Raises ConfigError for
    what is no name of a run, WorkspaceError for a folder without a finished study, for runs that
    differ in more than their seeds, and for a seed that two of them completed.
    """
    if len(given) < 2:
        raise WorkspaceError(f"merge {name}: found one run, expected two or more to unite")
    parts = [_part(workspace, each) for each in given]
    for part in parts[1:]:
        _require_one_study(parts[0], part)
    values = parts[0].config.model_dump(mode="json") | {"name": name}
    values["arms"]["seeds"] = sorted({seed for p in parts for seed in p.config.arms.seeds})
    config = validate(StudyConfig, values, f"merge {name}")
    target = run_folder(workspace, name)
    _require_free(target, parts)
    runs = _chosen(parts)
    measured = _measured(runs)
    record = RunRecord(workspace, config)
    with record.watch(), explained(target):
        results = write_results(config, _united(parts, runs, measured, target), target)
        record.note(MERGED, [part.name for part in parts])
        record.finish("completed")
    failed = [f"{arm}, seed {seed}" for (arm, seed), (_, run) in runs.items() if run.message]
    return {"run": str(target), "headline": results.headline, "failed": failed}


def _part(workspace: Path, given: str) -> PartialStudy:
    folder = find_run(workspace, given, RESULTS, RECORD)
    if (folder / RECORD).is_file() and (status := record_of(folder)["status"]) != "completed":
        raise WorkspaceError(
            f"{folder}: this run is {status}, expected a completed one; `vesselforge compare` goes "
            "on"
        )
    results = read_results(folder / RESULTS)
    config = validate(StudyConfig, read_yaml(folder / CONFIG), str(folder / CONFIG))
    measured = from_csv(folder / PER_IMAGE, metrics_of(config.statistics))
    return PartialStudy(folder, config, results, measured)


def _require_one_study(first: PartialStudy, part: PartialStudy) -> None:
    """All settings equal but those that MAY_DIFFER or do not change results; and the images."""
    one, other = (dict(flat(identity_of(each.config), lists=True)) for each in (first, part))
    for name in dict.fromkeys([*one, *other]):
        if name not in MAY_DIFFER and one.get(name) != other.get(name):
            raise WorkspaceError(
                f"{part.folder}: {name}: found {other.get(name)!r}, expected {one.get(name)!r} as "
                f"in {first.folder}; runs of one study differ in arms.seeds alone"
            )
    for name, content in first.results.content.items():
        if part.results.content.get(name) != content:
            raise WorkspaceError(
                f"{part.folder}: the files of {name} are not those of {first.folder}; expected the "
                "same images in all runs of one study"
            )


def _require_free(target: Path, parts: Sequence[PartialStudy]) -> None:
    """No run is replaced but an earlier merge of that name."""
    if not target.exists():
        return
    own = any(part.folder.resolve() == target.resolve() for part in parts)
    if own or not (target / RECORD).is_file() or MERGED not in record_of(target):
        raise WorkspaceError(
            f"{target}: found a run of that name, expected a new name for the merged one"
        )


def _chosen(parts: Sequence[PartialStudy]) -> Chosen:
    """Each arm with each seed once; one that failed in one place counts where it was completed.

    Raises WorkspaceError where two runs completed it.
    """
    found: Chosen = {}
    for part in parts:
        for arm in part.results.arms:
            for run in arm.runs:
                first, earlier = found.get((arm.id, run.seed), (part, None))
                if earlier is None or earlier.status == "failed":
                    found[arm.id, run.seed] = part, run
                elif run.status == "completed":
                    raise WorkspaceError(
                        f"{part.folder}: found seed {run.seed} of arm {arm.label}, which "
                        f"{first.folder} has, too; expected each seed in one run alone; leave one "
                        "out"
                    )
    order = {arm.id: at for at, arm in enumerate(parts[0].results.arms)}
    return dict(sorted(found.items(), key=lambda item: (order[item[0][0]], item[0][1])))


def _measured(runs: Chosen) -> Measured:
    """Raises WorkspaceError where runs do not have the same images."""
    found: Measured = {}
    for (arm, seed), (part, run) in runs.items():
        if run.status == "completed":
            own = found[arm, seed] = part.measured.get((arm, seed), {})
            first, there = next(iter(found.items()))
            if list(own) != list(there):
                raise WorkspaceError(
                    f"{part.folder}: arm {arm}, seed {seed}: found {len(own)} values of images, "
                    f"expected the {len(there)} of {runs[first][0].folder}: arm {first[0]}, seed "
                    f"{first[1]}, of the same images; copy the run's folder again"
                )
    return found


def _united(
    parts: Sequence[PartialStudy], runs: Chosen, measured: Measured, target: Path
) -> Findings:
    """Runs, values, descriptions and pictures of all parts.

    What seeds share (a generator, say) may have been made anew in each place, with other results;
    then each is kept under the name of its run, and a note says so.
    """
    seeds = (f"{p.name} (seeds {', '.join(map(str, p.results.seeds))})" for p in parts)
    notes = [f"Merged from {', '.join(seeds)}."]
    synthetic: dict[str, SyntheticImages] = {}
    for part in parts:
        anew = [s for s in part.results.synthetic if synthetic.setdefault(s.origin, s) != s]
        for one in anew:
            name = f"{one.origin} ({part.name})"
            synthetic[name] = one.model_copy(update={"origin": name})
        if anew:
            origins = "; ".join(one.origin for one in anew)
            notes.append(
                f"Made anew by run {part.name}, with another result: {origins}. Differences "
                "between seeds hold that, too."
            )
    by_arm: dict[str, list[ArmRun]] = {arm.id: [] for arm in parts[0].results.arms}
    for (arm_id, _), (_, run) in runs.items():
        by_arm[arm_id].append(run)
    return Findings(
        arms=[arm.model_copy(update={"runs": by_arm[arm.id]}) for arm in parts[0].results.arms],
        measured=measured,
        content=parts[0].results.content,
        folds=parts[0].results.folds,
        synthetic=list(synthetic.values()),
        samples=_samples(parts, target),
        notes=notes,
        warned=list(dict.fromkeys(line for part in parts for line in part.results.warned)),
    )


def _samples(parts: Sequence[PartialStudy], target: Path) -> list[Samples]:
    """Those of each source once, of the first part that has its picture, with the pictures."""
    remove_sheets(target)
    found: dict[str, Samples] = {}
    for part in parts:
        for samples in part.results.samples:
            names = [name for name in (samples.picture, samples.nearest) if name]
            there = bool(names) and all((part.folder / name).is_file() for name in names)
            if there and not (target / names[0]).exists():
                for name in names:
                    shutil.copyfile(part.folder / name, target / name)
                found[samples.source] = samples
            found.setdefault(samples.source, samples)
    return list(found.values())
