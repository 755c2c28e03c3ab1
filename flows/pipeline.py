"""The Prefect flow. Prefect schedules, retries, shows and records; the artifact store is its cache.

Every step is a task that returns a small dict: Prefect's database can be lost without losing work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import task_run
from prefect.states import Cancelled, Failed
from pydantic import BaseModel

from configs.errors import UserError
from configs.load import override
from configs.settings import PipelineConfig
from data.prepare import content_hash
from data.progress import Interrupted
from data.store import Artifact, Inputs, Store
from flows import notes
from flows.augmentation import augment
from flows.cancellation import heeded
from flows.checks import check_inputs
from flows.child import StageCrashed
from flows.display import current
from flows.reporting import report_on
from flows.runs import PIPELINE, Reference, RunRecord, reference, workspace_folder
from flows.stages import STAGES, Outcome, finished, produce
from flows.steps import Steps
from flows.stopping import StageTimedOut, StoppedByFile, timed

BAD_INPUT, CRASHED, BROKEN = "BadInput", "StageCrashed", "StageBroken"
"""Names of failed states: what the user can mend, what may well work when tried again, a bug."""
TIMED_OUT = "TimedOut"
"""And, as Prefect calls its own: a stage that took longer than it may."""

for _room in ("data", "flows", "generator", "segmenter"):  # Prefect's handlers take what arrives
    logging.getLogger(_room).setLevel(logging.INFO)


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

    def body() -> dict[str, Any]:
        changed = override(PipelineConfig, config, overrides or [])
        return run_pipeline(changed, workspace_folder(workspace))

    return stated(body)


def stated(body: Callable[[], Any]) -> Any:
    """What the body of a flow returns; of its expected failures, the state that tells of them.

    A request to stop is heard meanwhile.
    """
    try:
        with current().listening(), heeded(current().stop):
            return body()
    except UserError as error:
        return Failed(name=BAD_INPUT, message=str(error))
    except StageCrashed as error:
        name = TIMED_OUT if isinstance(error, StageTimedOut) else CRASHED
        return Failed(name=name, message=str(error))
    except Interrupted as error:
        return Cancelled(message=str(error))


def run_pipeline(config: PipelineConfig, workspace: Path) -> dict[str, Any]:
    """The body of the flow: every step, the record, the report. Returns where things are."""
    check_inputs(config, workspace)
    record = RunRecord(workspace, config)
    with record.watch():
        dataset = cache(partial(content_hash, config.data))
        produce = partial(as_task, workspace, record, timeout=config.stage_timeout)
        evaluation = augment(Steps(config, produce, dataset), record)
        record.finish("completed")
        page = write_report(str(record.folder), str(workspace))
    return {"run": str(record.folder), "report": page, "evaluation": reference(evaluation)}


def as_task(
    workspace: Path,
    record: RunRecord,
    step: str,
    kind: str,
    settings: BaseModel,
    inputs: Inputs,
    outside: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Artifact:
    """`flows.steps.Produce` by a Prefect task; what came of it goes into the record."""
    outcome = perform(workspace, step, kind, settings, inputs, outside, timeout)
    record.step(step, outcome)
    return outcome.artifact


def perform(
    workspace: Path,
    step: str,
    kind: str,
    settings: BaseModel,
    inputs: Inputs,
    outside: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Outcome:
    """One stage by a Prefect task; how the task failed is raised again here."""
    state = TASKS[kind](
        step=step,
        kind=kind,
        settings=settings.model_dump(mode="json"),
        inputs={name: reference(artifact) for name, artifact in inputs.items()},
        outside=dict(outside or {}),
        workspace=str(workspace),
        timeout=timeout,
        return_state=True,
    )
    if not state.is_completed():
        raise failure_of(state)
    made = state.result()
    artifact = finished(Store(workspace), kind, made["digest"])
    return Outcome(artifact, made["reused"], made["seconds"])


def run_stage(
    step: str,
    kind: str,
    settings: dict[str, Any],
    inputs: dict[str, Reference],
    outside: dict[str, str],
    workspace: str,
    environment: dict[str, str] | None = None,
    limit: str | None = None,
    stop_file: str | None = None,
    timeout: float | None = None,
) -> Any:
    """One step, found finished in the workspace or run in a child process.

    environment: goes over that of the child. limit: Prefect's concurrency limit to hold a slot of.
    stop_file: when this file appears the stage saves its checkpoint and ends, on any machine.
    timeout: seconds, without waiting for a slot, after which it does the same and has failed.
    Prefect's own time-out would raise an exception wherever the code happens to be.
    """
    display = current()
    store = Store(Path(workspace))
    heard = display.begin(step, task_run.run_count or 1)
    if stop_file is not None:
        heard = StoppedByFile(heard, stop_file)
    progress = notes.PublishedProgress(heard, step)
    try:
        with display.telling(step), slot(limit), timed(progress, timeout, step) as watched:
            outcome = produce(
                Path(workspace),
                kind,
                STAGES[kind].settings.model_validate(settings),
                {name: finished(store, *where) for name, where in inputs.items()},
                watched,
                outside,
                environment,
                step,
            )
    except UserError as error:  # returned, not raised: Prefect prints no traceback of it
        return Failed(name=BAD_INPUT, message=str(error))
    except StageTimedOut as error:
        return Failed(name=TIMED_OUT, message=str(error))
    except StageCrashed as error:
        return Failed(name=CRASHED if error.transient else BROKEN, message=str(error))
    except Interrupted as error:
        return Cancelled(message=str(error))
    progress.finish()
    display.end(step, outcome)
    made = outcome.artifact
    notes.publish(step, made)
    return {
        "kind": kind,
        "digest": made.digest,
        "path": str(made.path),
        "metrics": made.metrics,
        "reused": outcome.reused,
        "seconds": round(outcome.seconds, 2),
    }


def slot(limit: str | None) -> AbstractContextManager[None]:
    """A slot of a concurrency limit while inside; of none without a name.

    A lease that is lost, as by a restart of the server, does not end hours of training. Waiting
    has no end of its own: an attempt that is given up may still be granted by a busy server, and
    that slot is then nobody's until its lease ends after five minutes.
    """
    if limit is None:
        return nullcontext()
    from prefect.concurrency.sync import concurrency

    return concurrency(limit, occupy=1, strict=True, raise_on_lease_renewal_failure=False)


def worth_retrying(task: Any, task_run: Any, state: State[Any]) -> bool:
    """A killed process or a hiccup of the file system, but never bad input. It resumes."""
    if state.name == CRASHED:
        return True
    failure = state.data if isinstance(state.data, Exception) else None
    if failure is None and state.name == "Failed":
        failure = state.result(raise_on_failure=False)
    return isinstance(failure, OSError)


TASKS = {
    kind: task(
        name=kind,
        task_run_name="{step}",
        retries=2,
        retry_delay_seconds=1,
        retry_condition_fn=worth_retrying,
        cache_policy=NO_CACHE,
        persist_result=False,
        result_serializer="json",
    )(run_stage)
    for kind in STAGES
}


@task(
    name="report",
    task_run_name="report",
    cache_policy=NO_CACHE,
    persist_result=False,
    result_serializer="json",
)
def write_report(folder: str, workspace: str) -> str:
    """The run's HTML page; returns its path."""
    page = str(report_on(Path(folder), Store(Path(workspace))))
    notes.publish_report(page)
    return page


def failure_of(state: State[Any]) -> Exception:
    """What a task's state means to the flow."""
    message = state.message or f"a task ended {state.name}"
    if state.name == BAD_INPUT:
        return UserError(message)
    if state.name in (CRASHED, BROKEN):
        return StageCrashed(message)
    if state.name == TIMED_OUT:
        return StageTimedOut(message)
    if state.type in (StateType.CANCELLED, StateType.CANCELLING):
        return Interrupted(message)
    error = state.result(raise_on_failure=False)
    return error if isinstance(error, Exception) else RuntimeError(message)
