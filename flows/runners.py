"""Where stages run at once: processes here, or a Dask cluster. Imports Prefect."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from prefect.futures import PrefectFuture
from prefect.states import Crashed, State
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.study import ExecutionSettings

FETCH_S = 60.0
"""How long the state of a task that is over may take to get here."""
NO_WORKERS = "60 s"
"""A stage fails that no worker of a local Dask cluster takes for so long; else it would wait on."""
DIED = "the worker of this stage died, or the cluster did; the same command goes on from there"


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


@contextmanager
def task_runner(settings: ExecutionSettings) -> Iterator[TaskRunner[Any]]:
    """Prefect's task runner of these settings, started. Raises ConfigError for a missing extra."""
    if settings.runner == "dask":
        runner = _dask(settings)
    else:
        runner = ThreadPoolTaskRunner(max_workers=workers_of(settings))
    with runner:
        yield runner


def _dask(settings: ExecutionSettings) -> TaskRunner[Any]:
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
