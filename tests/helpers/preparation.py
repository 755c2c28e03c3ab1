"""A flow of the pipeline's cheapest task alone: `python preparation.py WORKSPACE NAME`."""

from __future__ import annotations

import sys
from pathlib import Path

from commands import overrides
from prefect import flow

from vesselforge.configs.load import load
from vesselforge.configs.settings import PipelineConfig
from vesselforge.flows.tasks import ByTask
from vesselforge.pipeline.executor import Executor
from vesselforge.pipeline.record import RunRecord
from vesselforge.pipeline.run.run_works import run_works


@flow(flow_run_name="{name}", persist_result=False)
def preparation(workspace: str, name: str) -> None:
    config = load(PipelineConfig, "quickstart", [*overrides(), f"name={name}"])
    record = RunRecord(Path(workspace), config)
    executor = Executor(Path(workspace), ByTask(Path(workspace)), record.made)
    executor.make(run_works(config).development())


if __name__ == "__main__":
    preparation(*sys.argv[1:])
