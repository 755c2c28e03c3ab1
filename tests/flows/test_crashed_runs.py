"""Runs that ended, and what Prefect's server may still be told of them."""

from __future__ import annotations

from uuid import uuid4

import pytest
import yaml
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from vesselforge.flows.serving.automations import FOLDER
from vesselforge.flows.serving.unfinished import crash_their_tasks
from vesselforge.flows.states import ENDS, PARTLY, TIMED_OUT

pytestmark = pytest.mark.slow


@flow
def nothing() -> None:
    """For runs that are only told of."""


def test_the_automation_knows_how_runs_end() -> None:
    (file,) = FOLDER.glob("*.yaml")
    expected = yaml.safe_load(file.read_text())["trigger"]["expect"]
    assert {f"prefect.flow-run.{name}" for name in ENDS} <= set(expected)


def test_tasks_of_a_crashed_run_do_not_stay_running_and_others_do(prefect_api: None) -> None:
    from prefect import task

    work = task(name="work")(lambda: None)
    with get_client(sync_client=True) as client:
        runs = [client.create_flow_run(nothing, state=Running()) for _ in range(2)]
        tasks = [
            client.create_task_run(work, run.id, dynamic_key=str(uuid4()), state=Running())
            for run in runs
        ]
        client.set_flow_run_state(runs[0].id, Crashed(message="killed"))
        crash_their_tasks()
        crashed, at_work = (client.read_task_run(task.id).state for task in tasks)
        assert crashed is not None and crashed.type == StateType.CRASHED
        assert crashed.message == "its run crashed"
        assert at_work is not None and at_work.type == StateType.RUNNING


def test_a_run_that_has_ended_does_not_become_crashed(prefect_api: None) -> None:
    """As the automation would have it, were a heartbeat late."""
    ends = [Completed(name=PARTLY), Failed(name=TIMED_OUT), Cancelled()]
    with get_client(sync_client=True) as client:
        for end in ends:
            run = client.create_flow_run(nothing, state=Running())
            client.set_flow_run_state(run.id, end)
            client.set_flow_run_state(run.id, Crashed(message="no heartbeat"))
            assert client.read_flow_run(run.id).state_name == end.name
