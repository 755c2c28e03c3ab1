"""Where runs and models of a workspace lie, their names, and what is said of one that is not there.
Cheap: no file is read but cards of what comes along."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from vesselforge import pretrained
from vesselforge.configs.base import expanded
from vesselforge.configs.errors import WorkspaceError

RECORD = "run.json"
REGISTRY = "registry.json"


class Network(NamedTuple):
    """A kind of network. word: for one, in messages; files: of which its own folder holds one;
    verbs: that take it."""

    word: str
    files: tuple[str, ...]
    verbs: str


NETWORKS: dict[pretrained.Kind, Network] = {
    "segmenter": Network(
        "model",
        ("model.json", "ensemble.json"),
        "`vesselforge predict`, `finetune` and `segmenter evaluate`",
    ),
    "generator": Network(
        "generator", ("generator.json",), "`vesselforge generator draw`, `walk` and `export`"
    ),
}


def workspace_folder(given: str | PathLike[str] | None = None) -> Path:
    """The workspace: as given, else $VESSELFORGE_WORKSPACE, else ./workspace."""
    place = given or os.environ.get("VESSELFORGE_WORKSPACE") or "workspace"
    return expanded(Path(place)).absolute()


def run_folder(workspace: Path, name: str) -> Path:
    return workspace / "runs" / name


def named_runs(workspace: Path) -> list[str]:
    """Every run of the workspace that has a record."""
    return sorted(path.parent.name for path in (workspace / "runs").glob(f"*/{RECORD}"))


def named_models(workspace: Path) -> list[str]:
    """Every line of models, and every model that `finetune` made."""
    files = [path for name in (REGISTRY, pretrained.CARD) for path in _models(workspace, name)]
    return sorted({path.parent.name for path in files})


def named_lines(workspace: Path) -> list[str]:
    """Every line of models."""
    return sorted(path.parent.name for path in _models(workspace, REGISTRY))


def _models(workspace: Path, file: str) -> list[Path]:
    return [*(workspace / "models").glob(f"*/{file}")]


def find_run(workspace: Path, given: str, *files: str) -> Path:
    """The folder of a run, by its name or the folder itself. files: one of which has to be in it.
    Raises WorkspaceError."""
    for folder in (Path(given), run_folder(workspace, given)):
        if holds(folder, *(files or [RECORD])):
            return folder
    raise WorkspaceError(no_such("run", given, runs_in(workspace)))


def runs_in(workspace: Path) -> dict[str, list[str]]:
    """For `no_such`."""
    return {f"runs in {workspace}": named_runs(workspace)}


def holds(folder: Path, *files: str) -> bool:
    """Whether one of these files lies there."""
    return any((folder / name).is_file() for name in files)


def no_network(kind: pretrained.Kind, given: str, places: Sequence[Path]) -> str:
    """What is wrong with a name of the box, or with what lies in the first of these places where
    anything does, that is no network of this kind; empty where nothing has that name."""
    there = next((place for place in places if place.exists()), None)
    boxed = pretrained.kind_of(given) if given in pretrained.names() else None
    for other, known in NETWORKS.items():
        if other != kind and (other == boxed or (there and holds(there, *known.files))):
            return f"{given}: a {other}, and a {kind} is wanted; {known.verbs} take it"
    if there is None:
        return ""
    word, files, _ = NETWORKS[kind]
    expected = f"expected a folder with {' or '.join(files)} in it"
    if there.suffix == ".safetensors":
        alone = "weights alone, without the description of their network"
        return f"{there}: {alone}; {expected}: give {there.parent}"
    named = "a run, or a name that `vesselforge models list` shows"
    makes = f"`vesselforge {kind} import` makes one from published weights"
    return f"{there}: no {word} here; {expected}, {named}; {makes}"


def no_such(what: str, given: object, known: Mapping[str, Sequence[str]]) -> str:
    """`mine: no such run, by name or as a folder; did you mean `mime`? runs in /ws: mime`. known:
    where → the names there."""
    names = [name for each in known.values() for name in each]
    near = get_close_matches(str(given), names, n=1)
    meant = f"did you mean `{near[0]}`? " if near else ""
    listed = "; ".join(f"{where}: {', '.join(each) or 'none'}" for where, each in known.items())
    return f"{given}: no such {what}, by name or as a folder; {meant}{listed}"
