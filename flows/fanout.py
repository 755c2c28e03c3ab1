"""Work handed to Prefect's task runners: several pieces at once, on this machine or a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner

from vesselforge.configs.study import ExecutionSettings
from vesselforge.engine.sinks.display import current
from vesselforge.flows.runners import ended, environment_of, workers_of
from vesselforge.flows.tasks import outcome_of, parameters_of, task_of
from vesselforge.pipeline.executor import POLL_S, Ended, Hand
from vesselforge.pipeline.graph import Work

STOP_S = 60.0
"""For all running stages to end when asked to; `child.GRACE_S` is for each to save."""
STOP_FILE = ".stop"
"""In the run's folder while the run is being stopped: workers elsewhere look for it."""


@dataclass(frozen=True, eq=False)
class Running:
    """A piece of work that a runner has. card: the GPU it was given."""

    future: PrefectFuture[Any]
    kind: str
    card: int | None


@dataclass
class ByRunner(Hand):
    """Work by a started task runner.

    folder: of the run. timeout: seconds that a stage may take.
    """

    workspace: Path
    folder: Path
    settings: ExecutionSettings
    runner: TaskRunner[Any]
    timeout: float | None = None
    taken: set[int] = field(default_factory=set)
    """Cards that stages have."""

    @property
    def room(self) -> int:
        return workers_of(self.settings)

    def start(self, work: Work) -> Running:
        card = next((card for card in self.settings.gpus if card not in self.taken), None)
        parameters = parameters_of(
            work,
            self.workspace,
            environment=environment_of(self.settings, card),
            stop_file=str(self.folder / STOP_FILE),
            timeout=self.timeout,
        )
        found = Running(self.runner.submit(task_of(work.kind), parameters), work.kind, card)
        self.taken |= set() if card is None else {card}
        if self.settings.runner != "processes":  # its own process says so elsewhere
            current().started(work.step)
        return found

    def ended(self, running: Running) -> Ended | None:
        state = ended(running.future)
        if state is None:
            return None
        self.taken -= {running.card}
        return outcome_of(state, self.workspace, running.kind)

    def stop(self, running: Iterable[Running]) -> None:
        """Ask every running stage to save its checkpoint and end; wait until all have.

        Not for ever: a cluster that has lost its workers answers no more, and takes what waits in
        its queue off it as soon as this process is gone.
        """
        futures = [one.future for one in running]
        if not futures:
            return
        mark, deadline = self.folder / STOP_FILE, time.monotonic() + STOP_S
        mark.touch()
        try:
            while left := sum(ended(future) is None for future in futures):
                if time.monotonic() > deadline:
                    current().say(f"  {left} of the stages have not answered for {STOP_S:.0f} s")
                    break
                time.sleep(POLL_S)
        finally:
            mark.unlink(missing_ok=True)
