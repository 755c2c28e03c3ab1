"""Runs of the work pool that Prefect's server believes to be at work. Imports Prefect."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling, Crashed

from flows.deployments import POOL

STOP_S = 40.0
"""For runs to save and end: Prefect kills a process 30 s after it asked it to."""
GONE = "its process is gone; start it again and it goes on from its last checkpoint"


def crash_the_dead() -> int:
    """Mark the runs whose process is gone as crashed, for no worker will; how many there were.

    Without a process number a run was on its way to a worker that is no more: call this while no
    worker runs. Processes are looked for on this machine.
    """
    with get_client(sync_client=True) as client:
        dead = [run for run in _unfinished(client) if not _alive(run.infrastructure_pid)]
        for run in dead:
            client.set_flow_run_state(run.id, Crashed(message=GONE), force=True)
    return len(dead)


def stop_all(seconds: float = STOP_S) -> int:
    """Cancel every run and wait until each has saved and ended; how many have not."""
    with get_client(sync_client=True) as client:
        for run in _unfinished(client):
            if run.state_type != StateType.CANCELLING:
                client.set_flow_run_state(run.id, Cancelling(message="the server is being stopped"))
        deadline = time.monotonic() + seconds
        while left := len(_unfinished(client)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
    return left


def count() -> int:
    with get_client(sync_client=True) as client:
        return len(_unfinished(client))


def _unfinished(client: SyncPrefectClient) -> Sequence[FlowRun]:
    types = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=types))
        ),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])),
    )


def _alive(pid: str | None) -> bool:
    """Whether a process of that number exists. Prefect may write the host's name before it."""
    with contextlib.suppress(ValueError, ProcessLookupError):
        os.kill(int((pid or "").rpartition(":")[2]), 0)
        return True
    return False
