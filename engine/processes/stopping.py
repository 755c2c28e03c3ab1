"""Requests to stop: signals to this process, and a stage's own time limit.

All end the same way. The stage's process is asked to stop, saves its checkpoint at the step where
it is, and ends; the same command goes on from there.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vesselforge.engine.processes.lifetimes import die_with_parent
from vesselforge.engine.processes.reporting import StageCrashed
from vesselforge.engine.progress import Bus, Interrupted


class StageTimedOut(StageCrashed):
    """A stage reached `stage_timeout`. Its checkpoint is saved; it is not tried again."""


def under_worker() -> bool:
    """Whether a Prefect worker has started this process."""
    return "PREFECT__FLOW_RUN_ID" in os.environ


def stop_signals() -> list[signal.Signals]:
    """What asks a run to stop: Ctrl-C, SIGTERM, and the end of the terminal unless under nohup."""
    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [signal.SIGINT, signal.SIGTERM] + ([] if nohup else [signal.SIGHUP])


@contextmanager
def heard(asked: Callable[[], None]) -> Iterator[None]:
    """While inside, a signal to stop calls `asked`. In other threads than the main one nothing.

    Under a worker the process asks itself to stop when the worker is killed: nobody could cancel
    it any more, and Prefect would call it crashed although it went well.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    terminals = [number for number in (1, 2) if os.isatty(number)]
    hung_up = False

    def handle(number: int, _: object) -> None:
        nonlocal hung_up
        if number == signal.SIGHUP:
            if hung_up:  # the kernel and the shell both say so; nobody insists on anything
                return
            hung_up = True
            for stream in terminals:  # writing to it would be an error, in the middle of saving
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        asked()

    before = {number: signal.signal(number, handle) for number in stop_signals()}
    if under_worker():
        die_with_parent(signal.SIGTERM)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def timed(progress: Bus, seconds: float | None, what: str) -> Iterator[Bus]:
    """Yields a bus that asks to stop after so many seconds, if a number is given. Raises
    StageTimedOut in place of the Interrupted that this leads to."""
    end = math.inf if seconds is None else time.monotonic() + seconds
    try:
        yield progress.also(stop=lambda: time.monotonic() >= end)
    except Interrupted:
        if progress.stop_requested or time.monotonic() < end:
            raise
        message = f"{what} was stopped after {seconds:g} s, its limit (stage_timeout)"
        raise StageTimedOut(message, transient=False) from None
