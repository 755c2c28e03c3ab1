"""Kills in a row: a run is killed, started again, killed in a later step, until one completes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from benchmarks.reliability.pipeline import half_written, record
from benchmarks.reliability.processes import until
from benchmarks.reliability.reference import PATIENCE_S, Reference

START, REPORT = "start-up", "report"
USUAL_S = {START: 8.0, REPORT: 3.0}
"""Of the command before its first step and after its last one."""
SPREAD = 1.1
"""The kill comes up to that much of the step's usual time after its beginning."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Turn:
    """What is killed, in which step, and when: `moment` in [0, 1) of its usual time."""

    target: str
    victim: str
    moment: float
    served: bool = False


class Chain(NamedTuple):
    """whole: all steps from the first target on have to be done, else only the targets'."""

    turns: list[Turn]
    whole: bool


class Driver(Protocol):
    """A way of running the pipeline in `workspace`. poll_s: between two looks at it."""

    workspace: Path
    poll_s: float

    def begin(self) -> None:
        """Start a run: the same as before."""

    def over(self) -> bool:
        """Has the last run ended, or was there none?"""

    def well(self) -> bool:
        """Has it completed?"""

    def strike(self, victim: str) -> tuple[str, int]:
        """Kill; returns what was killed and how many processes outlived what they belong to."""


def chains(turns: Sequence[Turn], length: int, steps: list[str]) -> Iterator[list[Turn]]:
    """Yield turns that hit one after another, each another step, in the order of the steps."""
    order = [START, *steps, REPORT]
    chain: list[Turn] = []
    for turn in turns:
        if chain and (
            len(chain) == length
            or turn.served != chain[0].served
            or turn.target in [other.target for other in chain]
        ):
            yield sorted(chain, key=lambda t: order.index(t.target))
            chain = []
        chain.append(turn)
    if chain:
        yield sorted(chain, key=lambda t: order.index(t.target))


def run_chain(chain: Chain, driver: Driver, reference: Reference) -> list[Row]:
    """The rows of all its kills."""
    steps = [turn.target for turn in chain.turns if turn.target in reference.steps]
    missing = reference.onward(steps[0]) if chain.whole and steps else steps
    reference.copy(driver.workspace, missing)
    started = time.monotonic()
    rows: list[Row] = []
    for turn in chain.turns:
        if driver.over():
            _note(rows, driver)
            driver.begin()
        _await(turn, reference, driver)
        hit = _where(turn, reference, driver.workspace)
        struck, left = driver.strike(turn.victim)
        about = {"target": turn.target, "victim": struck, "served": turn.served, "hit": hit}
        seen = half_written(driver.workspace)
        rows.append(about | {"left": left, "half_written": seen, "went_on": True})
    until(driver.over, PATIENCE_S, every=0.2)
    if not driver.well():
        _note(rows, driver)
        driver.begin()
        until(driver.over, PATIENCE_S, every=0.2)
    return _judged(rows, driver, reference, round(time.monotonic() - started, 1))


def _note(rows: list[Row], driver: Driver) -> None:
    """A run has to be started again: the last kill had ended the one before."""
    if rows and not driver.well():
        rows[-1]["went_on"] = False


def _judged(rows: list[Row], driver: Driver, reference: Reference, seconds: float) -> list[Row]:
    """With what became of the chain."""
    workspace, completed = driver.workspace, driver.well()
    wrong = half_written(workspace) + [str(p) for p in (workspace / "store").glob("*/*.partial")]
    equal = completed and reference.equal(workspace)
    for row in rows:
        row |= {"completed": completed, "equal": equal, "chain": len(rows), "seconds": seconds}
        row["half_written"] += wrong
        row["well"] = bool(equal and not row["left"] and not row["half_written"])
    return rows


def _await(turn: Turn, reference: Reference, driver: Driver) -> None:
    """Until the moment of the kill, or the run's end if that comes first."""

    def begun() -> bool:
        if turn.target == REPORT:
            return done(driver.workspace) == reference.steps
        return turn.target == START or reference.begun(turn.target, driver.workspace)

    until(lambda: driver.over() or begun(), PATIENCE_S, driver.poll_s)
    usual = USUAL_S.get(turn.target) or reference.seconds(turn.target)
    deadline = time.monotonic() + turn.moment * SPREAD * usual
    while time.monotonic() < deadline and not driver.over():
        time.sleep(driver.poll_s)


def done(workspace: Path) -> list[str]:
    """The steps that the run's record tells of."""
    try:
        return [step["step"] for step in record(workspace)["steps"]]
    except FileNotFoundError:
        return []


def _where(turn: Turn, reference: Reference, workspace: Path) -> str:
    if turn.target == START:
        return "before the first step"
    if turn.target == REPORT:
        there = (workspace / "runs" / "quickstart" / "report.html").exists()
        return "after the page was written" if there else "before the page was written"
    return reference.progress(turn.target, workspace)
