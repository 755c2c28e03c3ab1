"""The record of a run: which artifacts a config led to, `workspace/runs/<name>/run.json`; and the
folders of networks that a path, or the name of a run or of one in the box, stands for.

It is rewritten by every run of that name. Nothing depends on it but the report: the artifacts
themselves are found by their content.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from vesselforge import pretrained
from vesselforge.configs.errors import CheckpointError, ConfigError, DataError, WorkspaceError
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.study import StudyConfig
from vesselforge.engine.artifacts import Artifact, Outcome
from vesselforge.engine.documents import read_object
from vesselforge.engine.files import file_sha256, write_atomic, write_json
from vesselforge.engine.progress import clock, ending_of
from vesselforge.engine.store import Store, explained
from vesselforge.pipeline.graph import Reference, Work
from vesselforge.pipeline.models.choice import chosen
from vesselforge.pipeline.models.registry import champion_folder
from vesselforge.pipeline.places import (
    NETWORKS,
    RECORD,
    REGISTRY,
    find_run,
    holds,
    named_models,
    no_network,
    no_such,
    run_folder,
    runs_in,
    workspace_folder,
)

EXPECTED = "the record of a run: `vesselforge run` or `compare` writes it anew"
REPORT = "report.html"
PARTLY_FAILED = "partly failed"
"""Status of a run that was scored and reported, though a part of it could not be done."""
PIPELINE, STUDY = "augmentation-pipeline", "compare-ratios"
"""Which flow a record is of."""
WARNED = "warned"
"""Key of what the check of the images warned of, a line for each dataset."""
PICKLE = b"\x80"
"""First byte of a pickle of protocol 2 or later."""


def reference(artifact: Artifact) -> Reference:
    return [artifact.kind, artifact.digest]


class RunRecord:
    """run.json while it grows; every change is on disk at once. part: what the roles of artifacts
    begin with, such as `fold-0/`."""

    part = ""

    def __init__(self, workspace: Path, config: PipelineConfig | StudyConfig) -> None:
        self.folder = run_folder(workspace, config.name)
        self.started = time.time()
        self.content: dict[str, Any] = {
            "name": config.name,
            "flow": STUDY if isinstance(config, StudyConfig) else PIPELINE,
            "config": config.model_dump(mode="json"),
            "started": clock(self.started),
            "finished": None,
            "seconds": None,
            "status": "running",
            "message": "",
            "steps": [],
            "artifacts": {},
        }
        with explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            text = yaml.safe_dump(self.content["config"], sort_keys=False, allow_unicode=True)
            write_atomic(self.folder / "config.yaml", text)
            self._save()

    def made(self, work: Work, outcome: Outcome) -> None:
        """A piece of work is done."""
        kind, digest = reference(outcome.artifact)
        entry = {"step": work.step, "kind": kind, "digest": digest, "reused": outcome.reused}
        self.content["steps"].append(entry | {"seconds": round(outcome.seconds, 2)})
        self._save()

    def artifact(self, role: str, artifact: Artifact) -> Artifact:
        """Note the artifact's role in this run; returns it."""
        self.content["artifacts"][self.part + role] = reference(artifact)
        self._save()
        return artifact

    def note(self, key: str, value: Any) -> None:
        """Any further fact, as JSON."""
        self.content[key] = value
        self._save()

    def finish(self, status: str, message: str = "") -> None:
        """status: completed, PARTLY_FAILED, failed or interrupted."""
        now = time.time()
        self.content |= {"finished": clock(now), "seconds": round(now - self.started, 2)}
        self.content |= {"status": status, "message": message}
        self._save()

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Note how the run ended when it did not end well; the exception goes on."""
        try:
            yield
        except BaseException as error:
            status = "interrupted" if ending_of(error) == "stopped" else "failed"
            self.finish(status, str(error) or type(error).__name__)
            raise

    def _save(self) -> None:
        with explained(self.folder):
            write_json(self.folder / RECORD, self.content)


def read_run(workspace: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """(folder, content of run.json) by the run's name or its folder. Raises WorkspaceError."""
    folder = find_run(workspace, name)
    return folder, record_of(folder)


def record_of(folder: Path) -> dict[str, Any]:
    """run.json of the folder. Raises WorkspaceError for a damaged one."""
    path = folder / RECORD
    fields = {"status": str, "config": dict, "artifacts": dict, "steps": list}
    found = read_object(path, EXPECTED, fields=fields)
    for entry in found["steps"]:
        if not isinstance(entry, dict) or not all(
            isinstance(entry.get(name), str) for name in ("kind", "digest")
        ):
            raise WorkspaceError(f"{path}: steps: found {str(entry)[:60]!r}; expected {EXPECTED}")
    return found


def artifact_folder(run: Path, address: object) -> Path:
    """The folder of an artifact that a run's record names, in the store of the run's workspace.

    address: [kind, digest]. Raises WorkspaceError for anything else."""
    if not isinstance(address, list) or len(address) != 2:
        raise WorkspaceError(
            f"{run / RECORD}: found {str(address)[:60]!r}, expected [kind, digest]"
        )
    return Store(run.absolute().parent.parent).folder(*address)


def model_folder(
    given: Path,
    model: str | None = None,
    workspace: str | PathLike[str] | None = None,
    single: bool = False,
) -> Path:
    """A model's own folder; of a run's folder, that of the model that its validation images chose;
    of a line of models (`workspace/models/<name>`), that of its champion. Where none of them lies
    there, the name of a model that comes with the package, or of a model or run of the workspace.

    model: `teacher`, `student` or `ensemble`, that of a run in any case. workspace: default
    $VESSELFORGE_WORKSPACE or ./workspace. single: of a run, no ensemble. Raises CheckpointError,
    ConfigError or WorkspaceError.
    """
    place = given if holds_model(given) else _named_model(str(given), workspace_folder(workspace))
    if (place / RECORD).is_file():
        folder, record = read_run(place.parent.parent, str(place))
        if record.get("flow") == STUDY:
            raise WorkspaceError(f"{folder}: this is a study, which has no model; give a run")
        try:
            return artifact_folder(folder, record["artifacts"].get(chosen(record, model, single)))
        except WorkspaceError as error:
            raise WorkspaceError(f"{folder}: {error}") from None
    if model is not None:
        raise ConfigError(f"which: found {model}: it is for a run, and {given} is none")
    if (place / REGISTRY).is_file():
        return champion_folder(place)
    return place


def holds_model(folder: Path) -> bool:
    """Whether a model, a run or a line of models lies there: what a folder that only has the name
    of a model, such as one of its maps, does not hide."""
    return holds(folder, RECORD, REGISTRY, *NETWORKS["segmenter"].files)


def _named_model(name: str, workspace: Path) -> Path:
    """The folder of a model in the box, or of a model or run of the workspace, by its name."""
    if (folder := shipped_folder(name, "segmenter")) is not None:
        return folder
    alone = len(Path(name).parts) == 1
    places = [workspace / "models" / name, run_folder(workspace, name)] if alone else []
    if (place := next(filter(holds_model, places), None)) is not None:
        return place
    if fault := no_network("segmenter", name, [Path(name), *places]):
        raise CheckpointError(fault)
    known = {"with VesselForge come": pretrained.names("segmenter")}
    known |= {f"models in {workspace}": named_models(workspace)} | runs_in(workspace)
    raise CheckpointError(no_such("model", name, known))


def generator_folder(workspace: Path, given: str) -> Path:
    """A trained or imported generator's own folder; of a run (its name or folder), that of the
    generator it trained last; of the name of one that comes with the package, if neither lies
    there and no run has that name, its folder. Raises CheckpointError or WorkspaceError."""
    path = Path(given)
    if holds(path, *NETWORKS["generator"].files):
        return path
    if not any(holds(each, RECORD) for each in (path, run_folder(workspace, given))):
        if (folder := shipped_folder(given, "generator")) is not None:
            return folder
        if fault := no_network("generator", given, [path, workspace / "models" / given]):
            raise CheckpointError(fault)
        known = {"with VesselForge come": pretrained.names("generator")} | runs_in(workspace)
        raise CheckpointError(no_such("generator", given, known))
    folder, record = read_run(workspace, given)
    digests = [s["digest"] for s in record["steps"] if s["kind"] == "generator.train"]
    if not digests:
        raise WorkspaceError(
            f"{folder}: this run ({record['status']}) has no generator so far; the sources "
            "stylegan2 and joint train one"
        )
    return artifact_folder(folder, ["generator.train", digests[-1]])


def shipped_folder(name: str, kind: pretrained.Kind) -> Path | None:
    """The folder of a network of that kind that comes with the package, each file checked; None
    for any other name. Raises CheckpointError for a damaged one."""
    damage = pretrained.damage(name) if name in pretrained.names() else None
    if damage is not None:
        raise CheckpointError(f"{damage}; the installation is damaged: install vesselforge again")
    return pretrained.folder(name) if name in pretrained.names(kind) else None


def found_start(start: Path) -> Path:
    """What `generator.start_from` stands for: the file or generator at that path, or where none is,
    the folder of the generator in the box that has this name. Raises DataError when that cannot be
    a generator, CheckpointError when the one in the box is damaged. Only the beginning of files is
    looked at: generator.train reads the whole, safely."""
    if holds(start, *NETWORKS["generator"].files):
        return start
    if start.is_file():
        with start.open("rb") as stream:
            if stream.read(1) == PICKLE:
                return start
        fault = "no pickle"
    elif (folder := shipped_folder(str(start), "generator")) is not None:
        return folder
    else:
        fault = "no generator.json in it" if start.is_dir() else "no such file or folder"
    raise DataError(
        f"generator.start_from: {start}: {fault}; expected an official .pkl, the folder of a "
        "generator, or the name of a generator that comes with VesselForge (there are: "
        f"{', '.join(pretrained.names('generator')) or 'none'})"
    )


def hash_of(setting: str, path: Path) -> str:
    """Content hash of a file that a setting names; or of a generator's folder, that of its
    description and weights alone, whatever else lies beside them. Raises DataError."""
    try:
        if not path.is_dir():
            return file_sha256(path)
        files = [path / "generator.json", *sorted(path.glob("*.safetensors"))]
        content = {file.name: file_sha256(file) for file in files}
    except OSError as error:
        raise DataError(f"{setting}: {path} cannot be read ({error.strerror})") from error
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
