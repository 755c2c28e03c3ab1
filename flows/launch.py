"""The pipeline started from the command line: checks first, then Prefect, then what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from configs.errors import UserError
from configs.settings import PipelineConfig
from data.progress import Interrupted
from flows.checks import check_inputs
from flows.child import StageCrashed
from flows.display import Display, shown
from flows.embedded import api


def launch(config: PipelineConfig, workspace: Path, display: Display) -> dict[str, Any]:
    """Run the flow here and now. Returns the paths of run and report.

    Raises UserError, StageCrashed or Interrupted; anything else is a programming error.
    """
    check_inputs(config, workspace)
    with shown(display), api() as url:
        from flows.pipeline import BAD_INPUT, CRASHED, augmentation_pipeline

        display.say(f"run {config.name} in {workspace} (Prefect at {url.removesuffix('/api')})")
        state: Any = augmentation_pipeline(config, workspace=str(workspace), return_state=True)
        message = state.message or ""
        if state.name == BAD_INPUT:
            raise UserError(message)
        if state.name == CRASHED:
            raise StageCrashed(message)
        if state.is_cancelled():
            raise Interrupted(message)
        return dict(state.result())
