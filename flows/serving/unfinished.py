"""Runs of the work pool that Prefect's server believes to be at work. Imports Prefect."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter, WorkPoolFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Cancelling, Crashed

from vesselforge.flows.serving.deployments import POOL

STOP_S = 40.0
"""For runs to save and end: Prefect kills a process 30 s after it asked it to."""
ANSWER_S = 5.0
WITH_RUN = "its run crashed"
GONE = "its process is gone; start it again and it goes on from its last checkpoint"


def crash_the_dead(say: Callable[[str], None]) -> None:
    """Mark the runs whose process is gone as crashed, for no worker will.

    Call this while no worker runs: a run without a process number was on its way to one that is no
    more, and one that has lost its worker is about to save and end, which is waited for. Processes
    are looked for on this machine.
    """
    deadline = time.monotonic() + STOP_S
    with get_client(sync_client=True) as client:
        while any(_alive(r.infrastructure_pid) for r in _unfinished(client)):
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        dead = [run for run in _unfinished(client) if not _alive(run.infrastructure_pid)]
        for run in dead:
            client.set_flow_run_state(run.id, Crashed(message=GONE), force=True)
    if dead:
        say(f"runs without a process, now marked as crashed: {len(dead)}")


def stop_all(say: Callable[[str], None]) -> None:
    """Cancel every run and wait until each has saved and ended."""
    with get_client(sync_client=True) as client:
        found = _unfinished(client)
        if found:
            say("stopping: what runs saves its checkpoint …")
        for run in found:
            if run.infrastructure_pid and not _alive(run.infrastructure_pid):
                client.set_flow_run_state(run.id, Crashed(message=GONE), force=True)
            elif run.state_type != StateType.CANCELLING:
                client.set_flow_run_state(run.id, Cancelling(message="the server is being stopped"))
        deadline = time.monotonic() + STOP_S
        while left := len(_unfinished(client)):
            if time.monotonic() > deadline:
                say(f"runs that did not end in time, and are killed: {left}")
                return
            time.sleep(0.5)


def crash_their_tasks() -> None:
    """Mark as crashed the tasks of crashed runs: who marks a run leaves its tasks as they were.

    Raises what Prefect's client does when no server answers; it tries once.
    """
    crashed = FlowRunFilter.model_validate({"state": {"type": {"any_": ["CRASHED"]}}})
    types = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING]
    left = TaskRunFilter.model_validate({"state": {"type": {"any_": types}}})
    with (
        temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
        get_client(sync_client=True, httpx_settings={"timeout": ANSWER_S}) as client,
    ):
        for task in client.read_task_runs(flow_run_filter=crashed, task_run_filter=left):
            client.set_task_run_state(task.id, Crashed(message=WITH_RUN), force=True)


def _unfinished(client: SyncPrefectClient) -> Sequence[FlowRun]:
    types = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
    runs = FlowRunFilter.model_validate({"state": {"type": {"any_": types}}})
    pool = WorkPoolFilter.model_validate({"name": {"any_": [POOL]}})
    return client.read_flow_runs(flow_run_filter=runs, work_pool_filter=pool)


def _alive(given: str | None) -> bool:
    """Whether a process of that number is at work. Prefect may write the host's name before it.

    Where process 1 does not collect orphans, as in a container without an init, a dead one stays.
    """
    number = (given or "").rpartition(":")[2]
    try:
        os.kill(int(number), 0)
    except (ValueError, ProcessLookupError):
        return False
    with contextlib.suppress(OSError):
        return " Z " not in Path(f"/proc/{number}/stat").read_text().rpartition(")")[2][:4]
    return True
