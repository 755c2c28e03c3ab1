"""Single steps without Prefect: the same work as a run's, at the same addresses."""

from __future__ import annotations

from pathlib import Path

from configs.settings import PipelineConfig
from data.store import Artifact
from flows.checks import check_inputs
from flows.display import Display, shown
from flows.executor import Executor, Here
from pipeline.run import run_works


def run_until(last: str, config: PipelineConfig, workspace: Path, display: Display) -> Artifact:
    """The artifact of one of LAST_STEPS (of the first round), and all that it needs."""
    check_inputs(config, workspace, last)
    with shown(display), display.listening():
        executor = Executor(workspace, Here(workspace, display, config.stage_timeout))
        return executor.make(run_works(config).until(last))
