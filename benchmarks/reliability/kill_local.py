"""Kills of `vesselforge run`: the command, its stage's process, its embedded server, or all."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from subprocess import Popen
from typing import Any

from benchmarks.reliability.pipeline import half_written, record, tiny
from benchmarks.reliability.processes import called, environment, family, kill, run, running, until
from benchmarks.reliability.turns import PATIENCE_S, SPREAD, Reference, Turn, gone, verdict

FAMILY, COMMAND, STAGE, SERVER = "the whole family", "the command", "the stage", "its server"
VICTIMS = [FAMILY, COMMAND, FAMILY, STAGE, SERVER]
START, REPORT = "start-up", "report"
WHOLE_EVERY = 6
"""Every sixth kill hits a run that has all later steps before it, too."""
START_S, REPORT_S = 8.0, 3.0
"""Usual times of the command before its first step and after its last one."""


def targets(steps: list[str]) -> list[str]:
    """What may be hit: every step, what comes before and what comes after them."""
    return [START, *steps, REPORT]


def turn(turn: Turn, reference: Reference, folder: Path) -> dict[str, Any]:
    """Kill once, look, run the same command again, look again."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    workspace = reference.copy(folder / "workspace", reference.missing(turn))
    env, command = environment(reference.home), tiny("run", folder / "workspace")
    started = time.monotonic()
    with running(command, env, folder) as process:
        _await(turn, reference, workspace, process)
        relatives = family(process.pid)
        hit = _hit(turn, reference, workspace)
        struck = _strike(turn.victim, process.pid, relatives)
        status = process.wait(PATIENCE_S)  # of a stage or a server the others should do without
        left = gone(reference.home)
        seen = half_written(workspace) if status else []
    went_on = completed = status == 0
    if not went_on:
        said = run(command, env, folder, PATIENCE_S)
        (folder / "rerun.txt").write_text(said.stdout + said.stderr)
        completed = said.returncode == 0
    return verdict(
        turn, reference, workspace, left, seen,
        hit=hit, struck=struck, went_on=went_on, completed=completed,
        seconds=round(time.monotonic() - started, 1),
    )  # fmt: skip


def _await(turn: Turn, reference: Reference, workspace: Path, process: Popen[str]) -> None:
    """Until the moment of the kill, or the command's end if that comes first."""
    if turn.target == START:
        usual = START_S
    elif turn.target == REPORT:
        until(lambda: ended(process) or _steps(workspace) == reference.steps, PATIENCE_S)
        usual = REPORT_S
    else:
        until(lambda: ended(process) or reference.begun(turn, workspace), PATIENCE_S, every=0.002)
        usual = reference.seconds(turn.target)
    deadline = time.monotonic() + turn.moment * SPREAD * usual
    while time.monotonic() < deadline and not ended(process):
        time.sleep(0.001)


def ended(process: Popen[str]) -> bool:
    return process.poll() is not None


def _steps(workspace: Path) -> list[str]:
    try:
        return [step["step"] for step in record(workspace)["steps"]]
    except FileNotFoundError:
        return []


def _hit(turn: Turn, reference: Reference, workspace: Path) -> str:
    if turn.target == START:
        return "before the first step"
    if turn.target == REPORT:
        there = (workspace / "runs" / "quickstart" / "report.html").exists()
        return "after the page was written" if there else "before the page was written"
    return reference.hit(turn, workspace)


def _strike(victim: str, command: int, relatives: set[int]) -> str:
    """Kill; returns who was, for a stage or a server may not be there at this moment."""
    word = {STAGE: "flows.child", SERVER: "flows.embedded"}.get(victim)
    if word is not None and (found := called(relatives, word)):
        kill(found)
        return victim
    if victim == COMMAND:
        kill([command])
        return COMMAND
    kill([command, *sorted(relatives - {command})])
    return FAMILY
