"""A run that was started here, not by a worker, and is cancelled on its server. Imports Prefect."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from flows import embedded
from flows.stopping import UNDER_WORKER

EVERY_S = 3.0


@contextmanager
def heeded(asked: Callable[[], None]) -> Iterator[None]:
    """While inside, cancelling this flow run calls `asked`, in another thread.

    Prefect leaves such a run in state Cancelling and lets it work on. Under a worker it is the
    worker that sees to it, and the server that a run brings along serves nobody else.
    """
    context = FlowRunContext.get()
    here = context is not None and context.flow_run is not None and UNDER_WORKER not in os.environ
    if not here or embedded.private():
        yield
        return
    assert context is not None and context.flow_run is not None
    over = threading.Event()
    look = (_look, context.flow_run.id, asked, over)
    threading.Thread(target=contextvars.copy_context().run, args=look, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _look(run: UUID, asked: Callable[[], None], over: threading.Event) -> None:
    with get_client(sync_client=True) as client:
        while not over.wait(EVERY_S):
            with suppress(Exception):  # a server that is away has cancelled nothing
                state = client.read_flow_run(run).state
                if state is not None and state.is_cancelling():
                    asked()
                    return
