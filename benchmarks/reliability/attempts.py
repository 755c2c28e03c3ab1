"""A command of the command line on one damaged file: in a fork, or in a process of its own."""

from __future__ import annotations

import importlib
import os
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from vesselforge.engine.processes.child import Job
from vesselforge.engine.progress import Progress

MOST_S = 10
"""Processor seconds of a command's own work; a busy machine does not stretch them."""
WAIT_S = 120
"""After which a command that waits for something is ended."""


@dataclass
class Outcome:
    """What a command did with one file. verdict: refused, harmless or the fault found."""

    kind: str
    number: int
    damage: str
    command: str
    real: bool
    verdict: str = ""
    status: int | None = None
    seconds: float = 0.0
    megabytes: float = 0.0
    said: str = ""


def forked(arguments: list[str], room: Path, outcome: Outcome) -> None:
    """The command in a fork of this process, which has all modules loaded."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        _command(arguments, room)
    deadline = time.monotonic() + WAIT_S
    while True:
        done, status, used = os.wait4(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            return
        time.sleep(0.01)
    outcome.status = os.waitstatus_to_exitcode(status)
    outcome.seconds = used.ru_utime + used.ru_stime
    outcome.megabytes = max(0.0, (used.ru_maxrss - before) / 1024)
    outcome.said = (room / "said.txt").read_text(errors="replace")


def _command(arguments: list[str], room: Path) -> NoReturn:
    """In the fork: everything that is said goes to said.txt."""
    status = 1
    try:
        os.chdir(room)
        output = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(output, number)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 (pytest puts its own there)
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        resource.setrlimit(resource.RLIMIT_CPU, (3 * MOST_S, 3 * MOST_S))
        status = run_here(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def run_here(arguments: list[str]) -> int:
    """The command line in this process, the child processes of stages too; its exit status."""
    import typer

    import vesselforge.pipeline.executor
    from vesselforge.cli.main import main

    vesselforge.pipeline.executor.run_in_child = _stage_here
    try:
        typer.main.get_command(main).main(arguments, "vesselforge")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _stage_here(
    job: Job,
    progress: Progress,
    environment: Mapping[str, str] | None = None,
    preload: Sequence[str] = (),
) -> None:
    """`engine.processes.child` without the process around it."""
    job.run(progress)


def in_new_process(arguments: list[str], room: Path, outcome: Outcome) -> None:
    """As a user starts it. Of its processor time, loading the modules is a part."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "vesselforge", *arguments], cwd=room, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=2 * WAIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    outcome.status, outcome.said = done.returncode, done.stdout.decode(errors="replace")
    outcome.seconds = max(0.0, spent - LOADING_S)


LOADING_S = 25.0
"""Processor seconds that two processes may take to load torch and all else on a busy machine."""


MODULES = (
    "h5py",
    *(
        f"vesselforge.{name}"
        for name in (
            "cli.main", "generator.sampling.sample_set", "generator.transfer.start_weights",
            "pipeline.preview", "pipeline.run.run_works",
            "report.charts", "report.run.run_page", "report.study.study_page",
            "segmenter.exchange.keras", "segmenter.inference.predict", "segmenter.training.fit",
        )
    ),
)  # fmt: skip


def load_all() -> None:
    """Everything that a command may need, once, before forking; one thread, so that it is safe."""
    import torch

    for module in MODULES:
        importlib.import_module(module)
    torch.set_num_threads(1)
