"""The Prefect flow of a run. Prefect schedules, retries, shows and records; the artifact store is
its cache."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from vesselforge.configs.errors import NoSamples
from vesselforge.configs.load import override
from vesselforge.configs.settings import ExperimentConfig, PipelineConfig
from vesselforge.engine.processes.stopping import under_worker
from vesselforge.engine.sinks.display import current
from vesselforge.engine.store import Store
from vesselforge.flows import notes
from vesselforge.flows.logs import outlive_the_reader
from vesselforge.flows.serving import embedded
from vesselforge.flows.states import EXPECTED, state_of
from vesselforge.flows.tasks import ByTask
from vesselforge.pipeline.executor import Executor
from vesselforge.pipeline.input_checks import check_inputs
from vesselforge.pipeline.record import (
    PARTLY_FAILED,
    PIPELINE,
    WARNED,
    RunRecord,
    reference,
    workspace_folder,
)
from vesselforge.pipeline.run.folds import augment_all
from vesselforge.pipeline.run.remarks import without_repeats
from vesselforge.report.writing import report_on

C = TypeVar("C", bound=ExperimentConfig)
LOOK_EVERY_S = 3.0
"""Between two looks at whether the run was cancelled on its server."""


@flow(name=PIPELINE, flow_run_name="{config.name}", persist_result=False, result_serializer="json")
def augmentation_pipeline(
    config: PipelineConfig, overrides: list[str] | None = None, workspace: str | None = None
) -> Any:
    """Train a generator and a teacher, label synthetic images, train students, score them all.

    Args:
        config: Every setting. Whoever gives another config replaces the whole of it: keys left
            out take their defaults. To change a few settings, use `overrides`.
        overrides: Changes to single settings, such as `sample.count=200`.
        workspace: Folder of artifacts and runs; default $VESSELFORGE_WORKSPACE or ./workspace.
    """

    return stated(run_pipeline, config, overrides, workspace)


def stated(
    body: Callable[[C, Path], Any], config: C, overrides: list[str] | None, workspace: str | None
) -> Any:
    """What the body of a flow makes of the changed config in the workspace; of its expected
    failures, the state that tells of them.

    A request to stop is heard meanwhile.
    """
    if under_worker():
        outlive_the_reader()
    try:
        with current().listening(), _watching_for_cancellation():
            return body(override(config, overrides), workspace_folder(workspace))
    except EXPECTED as error:
        return state_of(error)


@contextmanager
def _watching_for_cancellation() -> Iterator[None]:
    """While inside, cancelling this flow run stops what it does.

    A run without a worker Prefect leaves in state Cancelling and lets it work on; a worker stops
    its runs, but no longer those that were at work while the server was away. The server that a
    run brings along serves nobody else.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or embedded.private():
        yield
        return
    run, over = context.flow_run.id, threading.Event()

    def look() -> None:
        with get_client(sync_client=True) as client:
            while not over.wait(LOOK_EVERY_S):
                with suppress(Exception):  # a server that is away has cancelled nothing
                    state = client.read_flow_run(run).state
                    if state is not None and state.is_cancelling():
                        current().stop()
                        return

    threading.Thread(target=contextvars.copy_context().run, args=(look,), daemon=True).start()
    try:
        yield
    finally:
        over.set()


def run_pipeline(config: PipelineConfig, workspace: Path) -> dict[str, Any]:
    """The body of the flow: every step, the record, the report. Returns where things are, which
    model serves, and the remarks that go with the scores, warnings about the images among them.

    Raises NoSamples, after all this, when every synthetic image of a round was rejected."""
    check_inputs(config, workspace)
    record = RunRecord(workspace, config)
    with record.watch():
        hand = ByTask(workspace, config.stage_timeout)
        executor = Executor(workspace, hand, record.made)
        made = augment_all(config, executor, record, workspace)
        warned = without_repeats(executor.warned)
        record.note(WARNED, warned)
        record.finish(PARTLY_FAILED if made.failure else "completed", made.failure)
        page = write_report(record.folder, workspace)
    if made.failure:
        raise NoSamples(f"{made.failure}; what there is was scored all the same, report: {page}")
    return {
        "run": str(record.folder),
        "report": page,
        "evaluation": reference(made.evaluation),
        "chosen": made.choice,
        "remarks": [*warned, *made.remarks],
    }


def write_report(folder: Path, workspace: Path) -> str:
    """The run's HTML page; returns its path."""
    page = report_on(folder, Store(workspace))
    notes.publish_report(page)
    return str(page)
