"""A flow of the pipeline's cheapest task alone: `python preparation.py WORKSPACE NAME`."""

from __future__ import annotations

import sys
from pathlib import Path

from commands import overrides
from prefect import flow

from configs.load import load
from configs.settings import PipelineConfig
from flows.executor import Executor
from flows.runs import RunRecord
from flows.tasks import ByTask
from pipeline.run import run_works


@flow(flow_run_name="{name}", persist_result=False)
def preparation(workspace: str, name: str) -> None:
    config = load(PipelineConfig, "quickstart", [*overrides(), f"name={name}"])
    record = RunRecord(Path(workspace), config)
    executor = Executor(Path(workspace), ByTask(Path(workspace)), record.made)
    executor.make(run_works(config).development())


if __name__ == "__main__":
    preparation(*sys.argv[1:])
