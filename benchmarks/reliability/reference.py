"""The run that nobody disturbed, and workspaces in which some of its steps are not done."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reliability.pipeline import contents, record, tiny
from benchmarks.reliability.processes import environment, living, run
from benchmarks.reliability.tables import commit

PATIENCE_S = 900.0
"""For one run, on a busy machine."""
GONE_S = 20.0
"""For the processes of a killed one to end."""


@dataclass(frozen=True)
class Reference:
    """A run that nobody disturbed: its workspace, and the HOME of all commands."""

    workspace: Path
    home: Path
    record: dict[str, Any]

    @classmethod
    def made(cls, folder: Path, name: str = "undisturbed", *more: str) -> Reference:
        """Found in the folder, if it is of this commit, else run there now. more: arguments."""
        workspace, home, mark = folder / name, folder / "home", folder / f"{name}.commit"
        if not (mark.is_file() and mark.read_text() == commit()):
            shutil.rmtree(workspace, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
            said = run(tiny("run", workspace, *more), environment(home), folder)
            if said.returncode:
                raise RuntimeError(f"the undisturbed run failed: {said.stderr}")
            mark.write_text(commit())
        return cls(workspace, home, record(workspace))

    @property
    def steps(self) -> list[str]:
        return [step["step"] for step in self.record["steps"]]

    def address(self, step: str) -> tuple[str, str]:
        """(kind, digest) of the step's artifact."""
        [found] = [s for s in self.record["steps"] if s["step"] == step]
        return found["kind"], found["digest"]

    def seconds(self, step: str) -> float:
        """How long the step takes once its process is there."""
        kind, digest = self.address(step)
        manifest = self.workspace / "store" / kind / digest / "manifest.json"
        return float(json.loads(manifest.read_text())["seconds"])

    def copy(self, workspace: Path, without: Iterable[str]) -> Path:
        """Its workspace, in which some steps are not done and there was no run."""
        shutil.rmtree(workspace, ignore_errors=True)
        shutil.copytree(self.workspace, workspace)
        shutil.rmtree(workspace / "runs")
        for step in without:
            kind, digest = self.address(step)
            shutil.rmtree(workspace / "store" / kind / digest)
        return workspace

    def onward(self, step: str) -> list[str]:
        """This step and all after it."""
        return self.steps[self.steps.index(step) :]

    def equal(self, workspace: Path) -> bool:
        """The same artifacts, made of the same files?"""
        return contents(workspace) == contents(self.workspace)

    def begun(self, step: str, workspace: Path) -> bool:
        """Has the step left its first trace?"""
        kind, digest = self.address(step)
        folder = workspace / "store" / kind
        return (folder / f"{digest}.partial").exists() or (folder / digest).exists()

    def progress(self, step: str, workspace: Path) -> str:
        """How far a step is."""
        kind, digest = self.address(step)
        folder = workspace / "store" / kind
        if (folder / digest).exists():
            return "after its end"
        files = [p.name for p in (folder / f"{digest}.partial").rglob("*") if p.is_file()]
        checkpoints = sum(name.startswith("step-") and name.endswith("rs") for name in files)
        return f"with {len(files)} files" + (f", {checkpoints} checkpoints" if checkpoints else "")


def gone(home: Path, seconds: float = GONE_S) -> int:
    """How many processes with that HOME are still there after so long."""
    deadline = time.monotonic() + seconds
    while (left := len(living(home))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left
