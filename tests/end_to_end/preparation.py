"""A flow of the pipeline's cheapest task alone: `python preparation.py WORKSPACE NAME`."""

from __future__ import annotations

import sys
from functools import cache, partial
from pathlib import Path

from commands import overrides
from prefect import flow

from configs.load import load
from configs.settings import PipelineConfig
from data.prepare import content_hash
from flows.pipeline import as_task
from flows.runs import RunRecord
from flows.steps import Steps


@flow(flow_run_name="{name}", persist_result=False)
def preparation(workspace: str, name: str) -> None:
    config = load(PipelineConfig, "quickstart", [*overrides(), f"name={name}"])
    record = RunRecord(Path(workspace), config)
    produce = partial(as_task, Path(workspace), record)
    Steps(config, produce, cache(partial(content_hash, config.data))).development()


if __name__ == "__main__":
    preparation(*sys.argv[1:])
