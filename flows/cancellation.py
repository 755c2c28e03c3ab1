"""A run that is cancelled on its server. Imports Prefect."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from vesselforge.flows.serving import embedded

EVERY_S = 3.0


@contextmanager
def watching_for_cancellation(asked: Callable[[], None]) -> Iterator[None]:
    """While inside, cancelling this flow run calls `asked`, in another thread.

    A run without a worker Prefect leaves in state Cancelling and lets it work on; a worker stops
    its runs, but no longer those that were at work while the server was away. The server that a
    run brings along serves nobody else.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or embedded.private():
        yield
        return
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
