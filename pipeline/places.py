"""Where runs and models of a workspace lie, their names, and what is said of one that is not there.
Cheap: no file is read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from vesselforge import pretrained
from vesselforge.configs.base import expanded
from vesselforge.configs.errors import WorkspaceError

RECORD = "run.json"
REGISTRY = "registry.json"


def workspace_folder(given: Path | str | None = None) -> Path:
    """The workspace: as given, else $VESSELFORGE_WORKSPACE, else ./workspace."""
    return expanded(given or os.environ.get("VESSELFORGE_WORKSPACE") or "workspace").absolute()


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
        if any((folder / file).is_file() for file in files or (RECORD,)):
            return folder
    raise WorkspaceError(no_such("run", given, runs_in(workspace)))


def runs_in(workspace: Path) -> dict[str, list[str]]:
    """For `no_such`."""
    return {f"runs in {workspace}": named_runs(workspace)}


def no_such(what: str, given: object, known: Mapping[str, Sequence[str]]) -> str:
    """`mine: no such run, by name or as a folder; did you mean `mime`? runs in /ws: mime`. known:
    where → the names there."""
    names = [name for each in known.values() for name in each]
    near = get_close_matches(str(given), names, n=1)
    meant = f"did you mean `{near[0]}`? " if near else ""
    listed = "; ".join(f"{where}: {', '.join(each) or 'none'}" for where, each in known.items())
    return f"{given}: no such {what}, by name or as a folder; {meant}{listed}"
