"""How our runs stand in Prefect's log: an end that we know is no error and has no traceback."""

from __future__ import annotations

import logging
import re
from typing import Any

from prefect.exceptions import CancelledRun, FailedRun

from vesselforge.flows.states import ENDS

FINISHED = re.compile(r"Finished in state (\w+)")
EXHAUSTED = "Task run failed with state"


class KnownEnds(logging.Filter):
    """Prefect logs every end of a task but `Completed` as an error, and under a worker the state
    that a flow returns once more, as the exception that it makes of it."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, FailedRun | CancelledRun):  # a bug has an exception of its own
            return False
        message = str(record.msg)
        finished = FINISHED.match(message)
        if message.startswith(EXHAUSTED) or (finished and finished[1] in ENDS):
            record.levelno, record.levelname, record.exc_info = logging.INFO, "INFO", None
        return True


def tell_ends_calmly() -> None:
    """From now on, in this process. Also: what `vesselforge` logs arrives at Prefect's handlers."""
    logging.getLogger("vesselforge").setLevel(logging.INFO)
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logger = logging.getLogger(name)
        if not any(isinstance(one, KnownEnds) for one in logger.filters):
            logger.addFilter(KnownEnds())


def outlive_the_reader() -> None:
    """A worker reads what its runs print. When it is killed, the next line of a run would be
    SystemExit in the middle of the work: so rich answers a closed pipe. Now it falls silent."""
    named = [None, "prefect", "prefect.flow_runs", "prefect.task_runs", "vesselforge"]
    for handler in {one for name in named for one in logging.getLogger(name).handlers}:
        console: Any = getattr(handler, "console", None)
        if console is not None:
            console.on_broken_pipe = lambda console=console: setattr(console, "quiet", True)
