"""Kills of `vesselforge run`: the command, its stage's process, its embedded server, or all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from subprocess import Popen

from benchmarks.reliability.pipeline import tiny
from benchmarks.reliability.processes import (
    called,
    environment,
    family,
    kill,
    running,
    stages,
)
from benchmarks.reliability.reference import PATIENCE_S, Reference, gone

FAMILY, COMMAND, STAGE, SERVER = "the whole family", "the command", "the stage", "its server"
VICTIMS = [FAMILY, COMMAND, FAMILY, STAGE, SERVER]
MEANT: dict[str, Callable[[Iterable[int]], list[int]]] = {
    STAGE: stages,
    SERVER: partial(called, word="vesselforge.flows.serving.embedded"),
}
"""Which of the command's family they are."""


class Local:
    """`kill_chain.Driver` by the command line, while inside."""

    poll_s = 0.002

    def __init__(self, folder: Path, reference: Reference) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.workspace = folder / "workspace"
        self._folder, self._home = folder, reference.home
        self._stack = ExitStack()
        self._process: Popen[str] | None = None

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def begin(self) -> None:
        command, env = tiny("run", self.workspace), environment(self._home)
        self._process = self._stack.enter_context(running(command, env, self._folder))

    def over(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def well(self) -> bool:
        return self._process is not None and self._process.poll() == 0

    def strike(self, victim: str) -> tuple[str, int]:
        assert self._process is not None
        command = self._process.pid
        relatives = family(command)
        if victim in MEANT and (found := MEANT[victim](relatives)):
            kill(found)
            return victim, 0  # the run should go on: what is left of it belongs to it
        kill([command])
        if victim != COMMAND:
            victim = FAMILY  # or no such process is there at this moment
            kill(relatives)
        self._process.wait(PATIENCE_S)
        return victim, gone(self._home)
