"""What errors are called as states of Prefect's runs, and back. Imports Prefect."""

from __future__ import annotations

from typing import Any

from prefect.client.schemas.objects import State, StateType
from prefect.states import Cancelled, Failed

from vesselforge.configs.errors import NoSamples, UserError
from vesselforge.engine.processes.reporting import StageCrashed
from vesselforge.engine.processes.stopping import StageTimedOut
from vesselforge.engine.progress import Interrupted

BAD_INPUT, NO_SAMPLES = "BadInput", "NoSamples"
TIMED_OUT, CRASHED, BROKEN = "TimedOut", "StageCrashed", "StageBroken"
PARTLY, NOTHING, PROMOTED, HELD_BACK = "PartlyFailed", "NothingToDo", "Promoted", "HeldBack"
ENDS = {
    *(BAD_INPUT, NO_SAMPLES, TIMED_OUT, CRASHED, BROKEN),
    *(PARTLY, NOTHING, PROMOTED, HELD_BACK),
    *("Completed", "Cancelled"),
}
"""How runs of ours end by themselves. Prefect's event of an end has the name of its state, so the
automations have to know them all."""
MEANS: dict[str | None, type[Exception]] = {
    NO_SAMPLES: NoSamples,  # of a run: all were rejected; the teacher was scored and reported
    BAD_INPUT: UserError,  # the user can mend it
    TIMED_OUT: StageTimedOut,  # as Prefect calls its own
    CRASHED: StageCrashed,  # may well work when tried again
    BROKEN: StageCrashed,  # a bug
}
"""Failed states, and the error that each tells of."""
EXPECTED = (UserError, StageCrashed, Interrupted)
"""What is returned as a state, not raised: Prefect prints no traceback of it."""


def state_of(error: Exception) -> State[Any]:
    """The state that tells of one of EXPECTED."""
    if isinstance(error, Interrupted):
        return Cancelled(message=str(error))
    name = next(name for name, kind in MEANS.items() if isinstance(error, kind))
    if name == CRASHED and isinstance(error, StageCrashed) and not error.transient:
        name = BROKEN
    return Failed(name=name, message=str(error))


def result_of(state: State[Any]) -> Any:
    """What a flow returned; how it failed is raised."""
    if state.is_completed():
        return state.result()
    raise error_of(state)


def error_of(state: State[Any]) -> Exception:
    """What the state of a task or a flow means that did not complete."""
    message = state.message or f"it ended {state.name}"
    if state.name in MEANS:
        return MEANS[state.name](message)
    if state.type in (StateType.CANCELLED, StateType.CANCELLING):
        return Interrupted(message)
    error = state.result(raise_on_failure=False)
    return error if isinstance(error, Exception) else RuntimeError(message)
