"""A graph of work, done by several workers at once; what fails takes along only what needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner

from configs.study import ExecutionSettings
from data.progress import Interrupted
from data.store import Artifact, DamagedArtifact, Store
from flows.display import current
from flows.pipeline import TASKS, failure_of
from flows.runs import reference
from flows.stages import Outcome, finished
from flows.study.runners import ended, environment_of, workers_of
from flows.study.work import Work, closure

POLL_S = 0.2
STOP_S = 60.0
"""For all running stages to end when asked to; `data.children.GRACE_S` is for each to save."""
STOP_FILE = ".stop"
"""In the run's folder while the run is being stopped: workers elsewhere look for it."""


@dataclass
class Fanout:
    """Does work with a started task runner, in the thread that calls it.

    done: digest → artifact; failed: digest → why. Both are kept from call to call.
    report: told of every artifact. limit: name of Prefect's concurrency limit, or None.
    timeout: seconds that a stage may take.
    """

    workspace: Path
    folder: Path
    settings: ExecutionSettings
    runner: TaskRunner[Any]
    report: Callable[[Work, Outcome], None]
    limit: str | None = None
    timeout: float | None = None
    done: dict[str, Artifact] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def run(self, targets: Iterable[Work]) -> None:
        """Do the targets and all that they need; returns when none is left to do.

        Raises Interrupted, when asked to stop, after every running stage has saved its checkpoint.
        """
        works = closure(targets)
        waiting = [w for w in works.values() if w.digest not in self.done.keys() | self.failed]
        waiting = [w for w in waiting if not self._found(w)]
        running: dict[PrefectFuture[Any], tuple[Work, int | None]] = {}
        try:
            while waiting or running:
                self._start(waiting, running)
                states = {future: ended(future) for future in running}
                over = {future: state for future, state in states.items() if state is not None}
                for future, state in over.items():
                    work, _ = running.pop(future)
                    self._settle(work, state)
                if current().stop_requested:
                    raise Interrupted("the study was stopped; the same command goes on from there")
                if running and not over:
                    time.sleep(POLL_S)
        except BaseException:
            self._stop(running)
            raise

    def artifact(self, work: Work) -> Artifact | None:
        """What it made; None when it failed."""
        return self.done.get(work.digest)

    def why(self, work: Work) -> str:
        """Why it failed, for people."""
        return self.failed.get(work.digest, "was not run")

    def _found(self, work: Work) -> bool:
        try:
            found = Store(self.workspace).find(work.kind, work.digest)
        except DamagedArtifact as damage:  # it is out of the way now, and is made again
            current().say(f"  {damage}")
            return False
        if found is not None:
            self._keep(work, Outcome(found, True, 0.0))
        return found is not None

    def _start(
        self, waiting: list[Work], running: dict[PrefectFuture[Any], tuple[Work, int | None]]
    ) -> None:
        """Hand out what is ready, no more than there are workers."""
        room = workers_of(self.settings) - len(running)
        for work in list(waiting):
            broken = [w for w in work.inputs.values() if w.digest in self.failed]
            if broken:
                waiting.remove(work)
                self.failed[work.digest] = self.failed[broken[0].digest]
            elif room > 0 and all(w.digest in self.done for w in work.inputs.values()):
                waiting.remove(work)
                card = self._free_card([card for _, card in running.values()])
                running[self._submit(work, card)] = (work, card)
                if self.settings.runner != "processes":  # its own process says so elsewhere
                    current().started(work.step)
                room -= 1

    def _free_card(self, taken: list[int | None]) -> int | None:
        return next((card for card in self.settings.gpus if card not in taken), None)

    def _submit(self, work: Work, card: int | None) -> PrefectFuture[Any]:
        parameters = {
            "step": work.step,
            "kind": work.kind,
            "settings": work.settings.model_dump(mode="json"),
            "inputs": {n: reference(self.done[w.digest]) for n, w in work.inputs.items()},
            "outside": dict(work.outside),
            "workspace": str(self.workspace),
            "environment": environment_of(self.settings, card),
            "limit": self.limit,
            "stop_file": str(self.folder / STOP_FILE),
            "timeout": self.timeout,
        }
        return self.runner.submit(TASKS[work.kind], parameters)

    def _settle(self, work: Work, state: Any) -> None:
        """Note how a stage ended."""
        if not state.is_completed():
            failure = failure_of(state)
            if isinstance(failure, Interrupted):
                raise failure
            self.failed[work.digest] = f"{work.step}: {failure}"
            current().drop(work.step)
            current().say(f"  failed: {self.failed[work.digest]}")
            return
        made = state.result()
        artifact = finished(Store(self.workspace), work.kind, made["digest"])
        self._keep(work, Outcome(artifact, made["reused"], made["seconds"]))

    def _keep(self, work: Work, outcome: Outcome) -> None:
        self.done[work.digest] = outcome.artifact
        self.report(work, outcome)

    def _stop(self, running: dict[PrefectFuture[Any], Any]) -> None:
        """Ask every running stage to save its checkpoint and end; wait until all have.

        Not for ever: a cluster that has lost its workers answers no more, and takes what waits in
        its queue off it as soon as this process is gone.
        """
        if not running:
            return
        mark, deadline = self.folder / STOP_FILE, time.monotonic() + STOP_S
        mark.touch()
        try:
            while left := sum(ended(future) is None for future in running):
                if time.monotonic() > deadline:
                    current().say(f"  {left} of the stages have not answered for {STOP_S:.0f} s")
                    break
                time.sleep(POLL_S)
        finally:
            mark.unlink(missing_ok=True)
