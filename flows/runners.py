"""Work by Prefect's task runners: several pieces at once, in processes or on a Dask cluster."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from prefect.futures import PrefectFuture
from prefect.states import Crashed, State
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.study import ExecutionSettings
from vesselforge.engine.sinks.display import current
from vesselforge.flows.tasks import outcome_of, parameters_of, task_of
from vesselforge.pipeline.executor import POLL_S, Ended, Hand
from vesselforge.pipeline.graph import Work

STOP_S = 60.0
"""For all running stages to end when asked to; `child.GRACE_S` is for each to save."""
STOP_FILE = ".stop"
"""In the run's folder while the run is being stopped: workers elsewhere look for it."""
FETCH_S = 60.0
"""How long the state of a task that is over may take to get here."""
NO_WORKERS = "60 s"
"""A stage fails that no worker of a local Dask cluster takes for so long; else it would wait on."""
DIED = "the worker of this stage died, or the cluster did; the same command goes on from there"


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


def workers_of(settings: ExecutionSettings) -> int:
    """Stages at once: as set, else one a GPU, else one for every two cores, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return settings.workers or len(settings.gpus) or max(1, (cores or 2) // 2)


def environment_of(settings: ExecutionSettings, card: int | None) -> dict[str, str]:
    """What a stage's process gets: its share of the cores, and its GPU if cards are shared out.

    Two stages with two threads each on two cores are slower than two with one.
    """
    shared = {} if card is None else {"CUDA_VISIBLE_DEVICES": str(card)}
    if "OMP_NUM_THREADS" in os.environ:
        return shared
    cores = os.cpu_count() or 1
    return {"OMP_NUM_THREADS": str(max(1, cores // workers_of(settings)))} | shared


def task_runner(settings: ExecutionSettings) -> TaskRunner[Any]:
    """Prefect's task runner of these settings, to be started by `with`. Raises ConfigError for a
    missing extra."""
    if settings.runner != "dask":
        return ThreadPoolTaskRunner(max_workers=workers_of(settings))
    try:
        import dask
        from prefect_dask import DaskTaskRunner
    except ImportError:
        raise ConfigError(
            "execution.runner: dask needs the package prefect_dask, which is not installed; "
            "`pip install 'vesselforge[dask]'`, or set execution.runner: processes"
        ) from None
    if settings.address:
        return DaskTaskRunner(address=settings.address)
    cluster = {
        "n_workers": workers_of(settings),
        "threads_per_worker": 1,
        "host": "127.0.0.1",
        "dashboard_address": "127.0.0.1:0",  # none would still take port 8787
        "preload": [__name__],
    }
    dask.config.set({"distributed.scheduler.no-workers-timeout": NO_WORKERS})
    return DaskTaskRunner(cluster_kwargs=cluster)


def dask_setup(worker: Any) -> None:
    """Called by Dask in a new worker of a local cluster, which leaves Ctrl-C to the study.

    A terminal sends it to the whole group of processes; a worker would end, and its stage with it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def ended(future: PrefectFuture[Any]) -> State[Any] | None:
    """The state of a task that is over; None, at once, while it is not.

    A worker that died gives an exception instead of a state: that is a crash.
    """
    over = cast(Any, future).wrapped_future  # of concurrent.futures or of Dask
    if not over.done():
        return None
    future.wait(timeout=FETCH_S)
    state = future.state
    if state.is_final():
        return state
    # Dask starts a task again whose worker died before its result was fetched.
    return Crashed(message=DIED) if over.done() else None
