"""A piece of work as a Prefect task: how it is run, retried, and how its end is told.

A task returns a small dict: Prefect's database can be lost without losing work.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import task_run

from vesselforge.engine.artifacts import Outcome
from vesselforge.engine.processes.reporting import StageCrashed
from vesselforge.engine.sinks.display import current
from vesselforge.engine.store import Store
from vesselforge.flows import notes
from vesselforge.flows.logs import tell_ends_calmly
from vesselforge.flows.states import CRASHED, EXPECTED, error_of, state_of
from vesselforge.pipeline.executor import Ended, Hand, perform
from vesselforge.pipeline.graph import Given, Reference, Work
from vesselforge.pipeline.stages import STAGES

tell_ends_calmly()


@dataclass
class ByTask(Hand):
    """Work by Prefect tasks, one after the other. timeout: seconds a stage may take."""

    workspace: Path
    timeout: float | None = None

    def start(self, work: Work) -> Ended:
        parameters = parameters_of(work, self.workspace, timeout=self.timeout)
        state = task_of(work.kind)(**parameters, return_state=True)
        return outcome_of(state, self.workspace, work.kind)


def parameters_of(work: Work, workspace: Path, **options: Any) -> dict[str, Any]:
    """The arguments of `run_stage`, as JSON."""
    return {
        "step": work.step,
        "kind": work.kind,
        "settings": work.settings.model_dump(mode="json"),
        "inputs": {name: [needed.kind, needed.digest] for name, needed in work.inputs.items()},
        "outside": dict(work.outside),
        "workspace": str(workspace),
        **options,
    }


def outcome_of(state: State[Any], workspace: Path, kind: str) -> Ended:
    """What a task's final state tells."""
    if not state.is_completed():
        return error_of(state)
    made = state.result()
    artifact = Store(workspace).read(kind, made["digest"])
    return Outcome(artifact, made["reused"], made["seconds"])


def run_stage(
    step: str,
    kind: str,
    settings: dict[str, Any],
    inputs: dict[str, Reference],
    outside: dict[str, str],
    workspace: str,
    environment: dict[str, str] | None = None,
    stop_file: str | None = None,
    timeout: float | None = None,
) -> Any:
    """One step, found finished in the workspace or run in a child process.

    environment: goes over that of the child. stop_file: when this file appears the stage saves its
    checkpoint and ends, on any machine. timeout: seconds after which it does the same and has
    failed. Prefect's own time-out would raise an exception wherever the code happens to be.
    """
    given = {name: Given(*where) for name, where in inputs.items()}
    work = Work(step, kind, STAGES[kind].settings.model_validate(settings), given, outside)
    progress = current().begin(step, task_run.run_count or 1).also(notes.ProgressPage(step))
    if stop_file is not None:
        progress = progress.also(stop=Path(stop_file).exists)
    try:
        outcome = perform(Path(workspace), work, progress, timeout, environment)
    except EXPECTED as error:
        return state_of(error)
    except OSError as error:  # a hiccup of the file system
        return state_of(StageCrashed(str(error)))
    notes.publish(step, outcome.artifact)
    digest, seconds = outcome.artifact.digest, round(outcome.seconds, 2)
    return {"digest": digest, "reused": outcome.reused, "seconds": seconds}


def worth_retrying(task: Any, task_run: Any, state: State[Any]) -> bool:
    """What may go well next time, and goes on from its checkpoint; never bad input."""
    return state.name == CRASHED


@functools.cache
def task_of(kind: str) -> Any:
    """The Prefect task of a kind of stage."""
    return task(
        name=kind,
        task_run_name="{step}",
        retries=2,
        retry_delay_seconds=1,
        retry_condition_fn=worth_retrying,
        cache_policy=NO_CACHE,
        persist_result=False,
        result_serializer="json",
    )(run_stage)
