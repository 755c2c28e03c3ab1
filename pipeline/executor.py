"""Does a graph of work: one piece after the other, or as many at once as there are hands.

How a piece is done is a `Hand`'s business: here and now, by a Prefect task, by a task runner. What
fails takes along only what needs it, unless the executor is strict.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vesselforge.configs.settings import PrepareSettings
from vesselforge.data.layouts.warned import CHECK, told_apart, warning_line
from vesselforge.engine.artifacts import Artifact, Outcome
from vesselforge.engine.documents import read_object
from vesselforge.engine.processes.child import Job, run_in_child
from vesselforge.engine.processes.stopping import timed
from vesselforge.engine.progress import Bus, Interrupted
from vesselforge.engine.sinks.board import boards, draw
from vesselforge.engine.sinks.display import current
from vesselforge.engine.sinks.stagelog import StageLog, log_file
from vesselforge.engine.store import DamagedArtifact, Store
from vesselforge.pipeline.graph import Given, Work, closure
from vesselforge.pipeline.stages import PRELOADED, STAGES

POLL_S = 0.2
Ended = Outcome | Exception


class Hand(ABC):
    """Does pieces of work: this one when they are started, one after the other."""

    @property
    def room(self) -> int:
        """How many at once."""
        return 1

    @abstractmethod
    def start(self, work: Work) -> Any:
        """Begin, its inputs being there; what is returned stands for the work while it is done."""

    def ended(self, running: Any) -> Ended | None:
        """What came of it; None while it is being done."""
        return running

    def stop(self, running: Iterable[Any]) -> None:  # noqa: B027
        """Have everything save its checkpoint and end; returns when it has."""


@dataclass
class Executor:
    """Does work in the thread that calls it.

    done: digest → artifact; failed: digest → why; warned: what the check of the images warned of, a
    line for each dataset. They are kept from call to call.
    report: told of every artifact. strict: the first failure is raised, and nothing else begun.
    look_first: what is there already is not handed out.
    """

    workspace: Path
    hand: Hand
    report: Callable[[Work, Outcome], None] = lambda work, outcome: None
    strict: bool = True
    look_first: bool = False
    done: dict[str, Artifact] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    warned: list[str] = field(default_factory=list)

    def make(self, work: Work) -> Artifact:
        """The artifact of one piece of work, done now with all that it needs if need be."""
        self.run([work])
        return self.done[work.digest]

    def run(
        self, targets: Iterable[Work], further: Callable[[], Iterable[Work]] = lambda: ()
    ) -> None:
        """Do the targets and all that they need; returns when none is left to do.

        further: asked for more targets at first, and whenever some work is over. Raises
        Interrupted, when asked to stop, after everything begun has saved its checkpoint; if strict,
        how the first piece of work failed.
        """
        waiting = self._undone(targets, set())
        running: list[tuple[Work, Any]] = []
        asked = -1
        try:
            while True:
                if asked != len(self.done) + len(self.failed):
                    asked = len(self.done) + len(self.failed)
                    known = {w.digest for w in (*waiting, *(work for work, _ in running))}
                    waiting += self._undone(further(), known)
                    continue  # of these some may be there already, and ask for more
                if not waiting and not running:
                    return
                self._start(waiting, running)
                over = [(pair, self.hand.ended(pair[1])) for pair in running]
                for pair, outcome in over:
                    if outcome is not None:
                        running.remove(pair)
                        self._settle(pair[0], outcome)
                if (waiting or running) and current().stop_requested:
                    raise Interrupted("stopped; the same command goes on from there")
                if running and all(outcome is None for _, outcome in over):
                    time.sleep(POLL_S)
        except BaseException:
            self.hand.stop(handle for _, handle in running)
            raise

    def is_over(self, work: Work) -> bool:
        """Whether it is done or has failed."""
        return work.digest in self.done or work.digest in self.failed

    def artifact(self, work: Work) -> Artifact | None:
        """What it made; None when it failed."""
        return self.done.get(work.digest)

    def why(self, work: Work) -> str:
        """Why it failed, for people."""
        return self.failed.get(work.digest, "was not run")

    def _undone(self, targets: Iterable[Work], known: Collection[str]) -> list[Work]:
        """What is to be done for the targets, inputs first, but for the known digests."""
        works = [w for w in closure(targets).values() if w.digest not in known]
        return [work for work in works if not self.is_over(work) and not self._found(work)]

    def _found(self, work: Work) -> bool:
        """Whether it need not be handed out, because it is in the store and that was looked at."""
        store = Store(self.workspace)
        if isinstance(work, Given):
            self.done[work.digest] = store.need(work.kind, work.digest)
            return True
        try:
            found = store.find(work.kind, work.digest) if self.look_first else None
        except DamagedArtifact as damage:  # it is out of the way now, and is made again
            current().say(f"  {damage}")
            return False
        if found is not None:
            self._keep(work, Outcome(found, True, 0.0))
        return found is not None

    def _start(self, waiting: list[Work], running: list[tuple[Work, Any]]) -> None:
        """Hand out what is ready, no more than there is room for."""
        for work in list(waiting):
            needed = [each.digest for each in work.inputs.values()]
            broken = [digest for digest in needed if digest in self.failed]
            if broken:
                waiting.remove(work)
                self.failed[work.digest] = self.failed[broken[0]]
            elif len(running) < self.hand.room and all(digest in self.done for digest in needed):
                waiting.remove(work)
                running.append((work, self.hand.start(work)))

    def _settle(self, work: Work, ended: Ended) -> None:
        """Note how a piece of work ended."""
        if isinstance(ended, Outcome):
            self._keep(work, ended)
            return
        if self.strict or isinstance(ended, Interrupted):
            raise ended
        self.failed[work.digest] = f"{work.step}: {ended}"
        current().drop(work.step)
        current().say(f"  failed: {self.failed[work.digest]}")

    def _keep(self, work: Work, outcome: Outcome) -> None:
        self.done[work.digest] = outcome.artifact
        self.report(work, outcome)
        line = warnings_of(work, outcome.artifact)
        if line and told_apart(line) not in map(told_apart, self.warned):
            self.warned.append(line)
            current().say(f"  {line}")


def warnings_of(work: Work, made: Artifact) -> str:
    """What the check of a dataset warned of, in a line; empty for other work, and without any."""
    if not isinstance(work.settings, PrepareSettings) or not made.metrics.get("warnings"):
        return ""
    expected = "what the check of the images found; remove its folder to have it made anew"
    return warning_line(read_object(made.path / CHECK, expected), work.settings.data)


@dataclass
class Here(Hand):
    """Work without Prefect: single steps of the command line. timeout: seconds a stage may take."""

    workspace: Path
    timeout: float | None = None

    def start(self, work: Work) -> Outcome:
        return perform(self.workspace, work, current().begin(work.step), self.timeout)


def perform(
    workspace: Path,
    work: Work,
    progress: Bus,
    timeout: float | None,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """`produce`, and how it ends is said. progress: what the display has begun for this work."""
    try:
        with timed(progress, timeout, work.step) as watched:
            outcome = produce(workspace, work, watched, environment)
    except BaseException as error:
        current().failed(work.step, error)
        raise
    current().end(work.step, outcome)
    return outcome


def produce(
    workspace: Path, work: Work, progress: Bus, environment: Mapping[str, str] | None = None
) -> Outcome:
    """The artifact of this work: found, or made in a child process that dies with this one.
    environment: goes over this process's own, for the child.

    Raises UserError for bad input, StageCrashed when the child was killed, Interrupted when it
    was asked to stop (its checkpoint is saved: the same call later goes on from there).
    """
    started = time.monotonic()
    store = Store(workspace).open()
    place = (workspace, work.kind, work.digest)
    found = store.find(work.kind, work.digest)
    if found is not None:
        draw(*place, work.step)
        return Outcome(found, True, time.monotonic() - started)
    if progress.stop_requested:
        raise Interrupted(f"stopped before {work.kind}; the same command goes on from there")
    inputs = {name: (needed.kind, needed.digest) for name, needed in work.inputs.items()}
    settings = work.settings.model_dump(mode="json")
    job = Job(workspace, STAGES[work.kind], settings, inputs, dict(work.outside))
    bus = progress.also(StageLog(log_file(*place), work.step), *boards(*place, work.step))
    bus.started()
    try:
        run_in_child(job, bus, environment, PRELOADED)
    except BaseException as error:
        bus.ended(error)
        raise
    bus.ended(None)
    made = store.need(work.kind, work.digest)
    return Outcome(made, False, time.monotonic() - started)
