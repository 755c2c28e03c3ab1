"""What stands in Prefect's log of our runs: no error where the end is one that we know."""

from __future__ import annotations

import logging
import os
from io import TextIOWrapper
from typing import Any

import pytest
from prefect.exceptions import FailedRun
from prefect.logging.handlers import PrefectConsoleHandler

from vesselforge.flows.logs import outlive_the_reader, tell_ends_calmly

ERROR = logging.ERROR


@pytest.mark.parametrize(
    ("message", "error", "level"),
    [
        ("Finished in state Cancelled('saved')", None, logging.INFO),
        ("Finished in state TimedOut('too long', type=FAILED)", None, logging.INFO),
        ("Finished in state Failed('a bug')", None, ERROR),
        ("Task run failed with state: StageCrashed - Retries are exhausted", None, logging.INFO),
        ("Engine execution exited with unexpected exception", FailedRun("bad input"), None),
        ("Engine execution exited with unexpected exception", KeyError("a bug"), ERROR),
    ],
)
def test_known_ends_are_no_errors(
    message: str, error: Exception | None, level: int | None, caplog: Any
) -> None:
    tell_ends_calmly()
    caplog.handler.setLevel(logging.INFO)
    logger = logging.getLogger("prefect.task_runs")
    logger.addHandler(caplog.handler)
    try:
        logger.error(message, exc_info=error)
    finally:
        logger.removeHandler(caplog.handler)
    levels = {r.levelno for r in caplog.records if r.message == message}
    assert levels == ({level} if level else set())


def test_a_reader_that_is_gone_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was killed read what its run prints."""
    read, write = os.pipe()
    os.close(read)
    logger = logging.getLogger("vesselforge")
    with TextIOWrapper(os.fdopen(write, "wb", buffering=0), write_through=True) as stream:
        handler = PrefectConsoleHandler(stream=stream)
        monkeypatch.setattr(logger, "handlers", [handler])
        outlive_the_reader()
        for _ in range(3):
            logger.warning("still at work")  # this was SystemExit
        assert handler.console.quiet
