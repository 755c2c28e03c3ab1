"""One kill: the workspace that it hits, and what is looked at afterwards."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reliability.pipeline import contents, half_written, record, tiny
from benchmarks.reliability.processes import environment, living, run
from benchmarks.reliability.tables import commit

PATIENCE_S = 900.0
"""For one run, on a busy machine."""
GONE_S = 20.0
"""For the processes of a killed one to end."""
SPREAD = 1.1
"""The kill comes up to that much of the step's usual time after its beginning."""


@dataclass(frozen=True)
class Turn:
    """What is killed, in which step, and when: `moment` in [0, 1) of its usual time.

    whole: all steps from this one on have to be done, not this one alone.
    """

    target: str
    victim: str
    moment: float
    whole: bool = False
    served: bool = False


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

    def missing(self, turn: Turn) -> list[str]:
        """The steps that are not done before this turn."""
        steps = self.steps
        if turn.target not in steps:
            return []
        first = steps.index(turn.target)
        return steps[first:] if turn.whole else [turn.target]

    def equal(self, workspace: Path) -> bool:
        """The same artifacts, made of the same files?"""
        return contents(workspace) == contents(self.workspace)

    def begun(self, turn: Turn, workspace: Path) -> bool:
        """Has the step to be hit left its first trace?"""
        kind, digest = self.address(turn.target)
        folder = workspace / "store" / kind
        return (folder / f"{digest}.partial").exists() or (folder / digest).exists()

    def hit(self, turn: Turn, workspace: Path) -> str:
        """Where in the step the kill found it."""
        kind, digest = self.address(turn.target)
        folder = workspace / "store" / kind
        if (folder / digest).exists():
            return "after its end"
        checkpoints = len(list((folder / f"{digest}.partial" / "checkpoint").glob("*.safetensors")))
        files = sum(p.is_file() for p in (folder / f"{digest}.partial").rglob("*"))
        return (
            f"with {files} files, {checkpoints} of them checkpoints"
            if checkpoints
            else (f"with {files} files")
        )


def gone(home: Path, seconds: float = GONE_S) -> int:
    """How many processes with that HOME are still there after so long."""
    deadline = time.monotonic() + seconds
    while (left := len(living(home))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def verdict(
    turn: Turn, reference: Reference, workspace: Path, left: int, seen: list[str], **how: Any
) -> dict[str, Any]:
    """The row of a kill, after its last run. seen: what was half-written right after the kill.

    how: `hit`, `went_on`, `completed` and `seconds`.
    """
    wrong = seen + half_written(workspace)
    equal = reference.equal(workspace)
    leftover = [str(p) for p in (workspace / "store").glob("*/*.partial")] if equal else []
    return {
        "target": turn.target,
        "victim": turn.victim,
        "served": turn.served,
        "whole": turn.whole,
        "moment": round(turn.moment, 3),
        "left": left,
        "half_written": wrong + leftover,
        "equal": equal,
        "well": bool(how["completed"] and equal and not left and not wrong and not leftover),
        **how,
    }
