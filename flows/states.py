"""What errors are called as states of Prefect's runs, and back. Imports Prefect."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelled, Failed

from vesselforge.configs.errors import NoSamples, UserError
from vesselforge.engine.processes.reporting import StageCrashed
from vesselforge.engine.processes.stopping import StageTimedOut
from vesselforge.engine.progress import Interrupted

BAD_INPUT, CRASHED, BROKEN = "BadInput", "StageCrashed", "StageBroken"
"""Names of failed states: what the user can mend, what may well work when tried again, a bug."""
NO_SAMPLES = "NoSamples"
"""And of a run: every synthetic image was rejected; its teacher was scored and reported."""
TIMED_OUT = "TimedOut"
"""And, as Prefect calls its own: a stage that took longer than it may."""
EXPECTED = (UserError, StageCrashed, Interrupted)
"""What is returned as a state, not raised: Prefect prints no traceback of it."""


def state_of(error: Exception) -> State[Any]:
    """The state that tells of one of EXPECTED."""
    if isinstance(error, Interrupted):
        return Cancelled(message=str(error))
    if isinstance(error, NoSamples):
        name = NO_SAMPLES
    elif isinstance(error, StageTimedOut):
        name = TIMED_OUT
    elif isinstance(error, StageCrashed):
        name = CRASHED if error.transient else BROKEN
    else:
        name = BAD_INPUT
    return Failed(name=name, message=str(error))


def result_of(state: State[Any]) -> Any:
    """What a flow returned; how it failed is raised."""
    if state.is_completed():
        return state.result()
    raise error_of(state)


def error_of(state: State[Any]) -> Exception:
    """What the state of a task or a flow means that did not complete."""
    message = state.message or f"it ended {state.name}"
    if state.name in (BAD_INPUT, NO_SAMPLES):
        return UserError(message)
    if state.name in (CRASHED, BROKEN):
        return StageCrashed(message)
    if state.name == TIMED_OUT:
        return StageTimedOut(message)
    if state.type in (StateType.CANCELLED, StateType.CANCELLING):
        return Interrupted(message)
    error = state.result(raise_on_failure=False)
    return error if isinstance(error, Exception) else RuntimeError(message)
