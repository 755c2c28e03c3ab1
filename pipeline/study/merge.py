"""Seeds of one study that were run in different places or on different days, as one run.

What a run folder holds is enough: figures of comparisons are computed anew from the images' values,
what describes the synthetic images is taken over. Nothing is trained, and no artifact is needed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from vesselforge.configs.errors import WorkspaceError
from vesselforge.configs.load import read_yaml, validate
from vesselforge.configs.study import StudyConfig
from vesselforge.engine.artifacts import identity_of
from vesselforge.engine.confined import plain_name
from vesselforge.engine.store import explained
from vesselforge.pipeline.record import RECORD, RunRecord, record_of, run_folder
from vesselforge.pipeline.study.findings import metrics_of
from vesselforge.pipeline.study.per_image import from_csv
from vesselforge.pipeline.study.schema import PER_IMAGE, RESULTS, Copy, Samples, read_results
from vesselforge.pipeline.study.study_pictures import PICTURES, SHEETS
from vesselforge.pipeline.study.study_results import write_results
from vesselforge.pipeline.study.uniting import Chosen, PartialStudy, chosen, united

CONFIG = "config.yaml"
MERGED = "merged"
"""Of run.json: names of the runs that it was merged from."""
EXTRA = "extra_forbidden"
"""What Pydantic calls a setting that it does not know."""


def merge_runs(
    name: str, given: Sequence[str], workspace: Path, page: Callable[[Path], Path]
) -> dict[str, Any]:
    """Write workspace/runs/`name` from the folders of runs, given by name or path; `page`
    makes the page of a run's folder.

    Returns `run` (its folder), `report`, `headline` and `failed`, as `compare` does. Raises
    ConfigError for what is no name of a run, WorkspaceError for a folder without a finished study,
    for runs that differ in more than their seeds, and for a seed that two of them have with
    different values.
    """
    if len(given) < 2:
        raise WorkspaceError(f"merge {name}: found one run, expected two or more to unite")
    parts = [_part(workspace, each) for each in given]
    for part in parts[1:]:
        _require_one_study(parts[0], part)
    config = _config(name, parts)
    target = run_folder(workspace, name)
    _require_free(target, parts)
    runs = chosen(parts)
    found = united(parts, runs)
    record = RunRecord(workspace, config)
    with record.watch(), explained(target):
        found = replace(found, samples=_samples(parts, target), copies=_copies(parts, target))
        results = write_results(config, found, target)
        lines = _lines(parts, runs)
        record.note("arms", lines)
        record.note(MERGED, [part.name for part in parts])
        record.finish("completed")
        report = page(target)
    failed = [f"{line['arm']}, seed {line['seed']}" for line in lines if line["message"]]
    found_at = {"run": str(target), "report": str(report)}
    return found_at | {"headline": results.headline, "failed": failed}


def _part(workspace: Path, given: str) -> PartialStudy:
    folder = Path(given) if (Path(given) / RESULTS).is_file() else run_folder(workspace, given)
    if (folder / RECORD).is_file() and (status := record_of(folder)["status"]) != "completed":
        raise WorkspaceError(
            f"{folder}: this run is {status}, expected a completed one; `vesselforge compare` goes "
            "on"
        )
    results = read_results(folder / RESULTS)
    config, gone = _config_of(folder / CONFIG)
    measured = from_csv(folder / PER_IMAGE, metrics_of(config.statistics))
    return PartialStudy(folder.absolute().name, folder, config, gone, results, measured)


def _config_of(path: Path) -> tuple[StudyConfig, dict[str, Any]]:
    """The config of a run, and what an earlier version set besides: settings that are no more."""
    values, gone = read_yaml(path), {}
    try:
        StudyConfig.model_validate(values)
    except ValidationError as error:
        for loc in (fault["loc"] for fault in error.errors() if fault["type"] == EXTRA):
            group: Any = values
            for key in loc[:-1]:  # kinds of sources are in `loc`, too, and no keys
                known = key in group if isinstance(group, dict) else isinstance(key, int)
                group = group[key] if known else group
            gone[".".join(map(str, loc))] = group.pop(loc[-1])
    return validate(StudyConfig, values, str(path)), gone


def _require_one_study(first: PartialStudy, part: PartialStudy) -> None:
    """All settings equal but seeds, name and those that do not change results; and the images."""
    one, other = _identity(first), _identity(part)
    where = next(_differences(one, other), None)
    if where is not None:
        name, expected, found = where
        raise WorkspaceError(
            f"{part.folder}: {name}: found {found!r}, expected {expected!r} as in {first.folder}; "
            "runs of one study differ in arms.seeds alone"
        )
    for name, content in first.results.content.items():
        if part.results.content.get(name) != content:
            raise WorkspaceError(
                f"{part.folder}: the files of {name} are not those of {first.folder}; expected the "
                "same images in all runs of one study"
            )


def _identity(part: PartialStudy) -> dict[str, Any]:
    found = identity_of(part.config)
    del found["name"], found["arms"]["seeds"]
    return found | part.gone


def _differences(one: Any, other: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted name, value, other value) of every setting that differs."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            yield from _differences(one.get(key), other.get(key), f"{name}.{key}".strip("."))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, pair in enumerate(zip(one, other, strict=True)):
            yield from _differences(*pair, f"{name}.{at}")
    elif one != other:
        yield name, one, other


def _config(name: str, parts: Sequence[PartialStudy]) -> StudyConfig:
    values = parts[0].config.model_dump(mode="json")
    values["name"] = name
    values["arms"]["seeds"] = sorted({seed for p in parts for seed in p.config.arms.seeds})
    return validate(StudyConfig, values, f"merge {name}")


def _require_free(target: Path, parts: Sequence[PartialStudy]) -> None:
    """No run is replaced but an earlier merge of that name."""
    if not target.exists():
        return
    own = any(part.folder.resolve() == target.resolve() for part in parts)
    if own or not (target / RECORD).is_file() or MERGED not in record_of(target):
        raise WorkspaceError(
            f"{target}: found a run of that name, expected a new name for the merged one"
        )


def _samples(parts: Sequence[PartialStudy], target: Path) -> list[Samples]:
    """Those of each source once, of the first part that has its picture, with the pictures."""
    for old in target.glob(SHEETS):
        old.unlink()
    found: dict[str, Samples] = {}
    for part in parts:
        for samples in part.results.samples:
            file = part.folder / (samples.picture or ".")
            if file.is_file() and not (target / samples.picture).exists():
                shutil.copyfile(file, target / samples.picture)
                found[samples.source] = samples
            found.setdefault(samples.source, samples)
    return list(found.values())


def _copies(parts: Sequence[PartialStudy], target: Path) -> list[Copy]:
    """All that differ in more than their picture, with the pictures; these are named with the
    number of the part."""
    folder = target / PICTURES
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    found: dict[Copy, Copy] = {}
    for number, part in enumerate(parts):
        for copy in part.results.copies:
            key, name = copy.model_copy(update={"picture": ""}), ""
            if copy.picture and key not in found:
                own = plain_name(copy.picture, f"{part.folder / RESULTS}: copies")
                name = f"{number}-{own}"
                if (source := part.folder / PICTURES / own).is_file():
                    shutil.copyfile(source, folder / name)
            found.setdefault(key, copy.model_copy(update={"picture": name}))
    return list(found.values())


def _lines(parts: Sequence[PartialStudy], runs: Chosen) -> list[dict[str, Any]]:
    """Every run for the record; its artifacts stand in the record of the place that made it."""
    arms = {arm.id: arm for arm in parts[0].results.arms}
    return [
        {
            "arm": arm,
            "label": arms[arm].label,
            "real_images": arms[arm].real_images,
            "seed": seed,
            "status": run.status,
            "message": run.message,
            "artifacts": {},
        }
        for (arm, seed), (_, run) in runs.items()
    ]
