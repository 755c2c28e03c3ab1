"""The pipeline started from the command line: checks first, then Prefect, then what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import UserError
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.study import StudyConfig
from vesselforge.engine.processes.reporting import StageCrashed
from vesselforge.engine.progress import Interrupted
from vesselforge.engine.sinks.display import Display, shown
from vesselforge.engine.store import Store
from vesselforge.flows.serving.embedded import api, forget_what_is_left
from vesselforge.pipeline.input_checks import check_inputs
from vesselforge.pipeline.study.study_checks import check_study


def launch(config: PipelineConfig, workspace: Path, display: Display) -> dict[str, Any]:
    """Run the augmentation pipeline here and now. Returns the paths of run and report.

    Raises UserError, StageCrashed or Interrupted; anything else is a programming error.
    """
    check_inputs(config, workspace)
    with _server(config.name, workspace, display):
        from vesselforge.flows.run import augmentation_pipeline

        return _outcome(augmentation_pipeline(config, workspace=str(workspace), return_state=True))


def launch_study(config: StudyConfig, workspace: Path, display: Display) -> dict[str, Any]:
    """Run the study here and now. Returns what `flows.compare.run_study` does; raises as above."""
    check_study(config, workspace)
    with _server(config.name, workspace, display):
        from vesselforge.flows.compare import compare_ratios

        return _outcome(compare_ratios(config, workspace=str(workspace), return_state=True))


def launch_retraining(config: PipelineConfig, workspace: Path, display: Display) -> dict[str, Any]:
    """Retrain here and now. Returns what `flows.retrain.run_retraining` does; raises as above."""
    Store(workspace).open()
    with _server(f"{config.name} again", workspace, display):
        from vesselforge.flows.retrain import retrain

        return _outcome(retrain(config, workspace=str(workspace), return_state=True))


@contextmanager
def _server(name: str, workspace: Path, display: Display) -> Iterator[None]:
    import httpx

    with shown(display), api() as url:
        display.say(f"run {name} in {workspace} (Prefect at {url.removesuffix('/api')})")
        try:
            yield
        except httpx.TransportError as error:
            forget_what_is_left()
            raise StageCrashed(
                f"{url}: Prefect's server no longer answers ({type(error).__name__}); see what "
                "became of it, or unset PREFECT_API_URL"
            ) from error


def _outcome(state: Any) -> dict[str, Any]:
    """What a flow returned, or how it failed, raised again."""
    from vesselforge.flows.tasks import BAD_INPUT, CRASHED, NO_SAMPLES, TIMED_OUT

    message = state.message or ""
    if state.name in (BAD_INPUT, NO_SAMPLES):
        raise UserError(message)
    if state.name in (CRASHED, TIMED_OUT):
        raise StageCrashed(message)
    if state.is_cancelled():
        raise Interrupted(message)
    return dict(state.result())
