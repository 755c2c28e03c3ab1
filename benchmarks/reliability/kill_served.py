"""Kills around a deployment: the shared Prefect server, the worker, the flow's process."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen
from typing import Any

from benchmarks.reliability.pipeline import half_written, overrides
from benchmarks.reliability.processes import (
    REPOSITORY,
    environment,
    family,
    free_port,
    kill,
    living,
    run,
    running,
    until,
)
from benchmarks.reliability.turns import GONE_S, PATIENCE_S, SPREAD, Reference, Turn, verdict

SERVER, WORKER, FLOW = "the server", "the worker", "the flow's process"
VICTIMS = [SERVER, WORKER, FLOW]
DEPLOYMENT = "augmentation-pipeline/quickstart"
DOWN_S = 5.0
"""How long nobody starts the killed server again."""
ENDS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class Deployed:
    """A server, a worker and the quickstart's deployment, on the loopback, while inside."""

    def __init__(self, folder: Path, reference: Reference) -> None:
        self._folder = folder / "served"
        self._reference = reference
        port = str(free_port())
        self._api = f"http://127.0.0.1:{port}/api"
        self._env = environment(
            folder / "home-served", PREFECT_SERVER_API_PORT=port, PREFECT_API_URL=self._api
        )
        self._stack = ExitStack()

    def __enter__(self) -> Deployed:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        try:
            self._serve()
            self._work()
            self._do("prefect", "--no-prompt", "deploy", "--name", DEPLOYMENT)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _serve(self) -> None:
        self._server = self._start("prefect", "server", "start", "--host", "127.0.0.1")
        until(lambda: self._ask("/health") is True, PATIENCE_S, every=0.2)

    def _work(self) -> None:
        self._worker = self._start("prefect", "worker", "start", "--pool", "local",
                                   "--type", "process")  # fmt: skip
        until(lambda: self._ask("/work_pools/local"), PATIENCE_S, every=0.2)

    def _start(self, *command: str) -> Popen[str]:
        log = str(self._folder / f"{command[1]}.txt")
        return self._stack.enter_context(running(list(command), self._env, REPOSITORY, log))

    def _do(self, *command: str) -> str:
        said = run(list(command), self._env, REPOSITORY)
        if said.returncode:
            raise RuntimeError(f"{' '.join(command)}: {said.stdout}{said.stderr}")
        return said.stdout

    def _ask(self, path: str) -> Any:
        """What the server answers, or None: it may be down."""
        try:
            with urllib.request.urlopen(self._api + path, timeout=10) as answer:  # noqa: S310 (ours)
                return json.loads(answer.read())
        except OSError:
            return None

    def turn(self, turn: Turn) -> dict[str, Any]:
        """Kill once, put back what was killed, look, start a run again unless it goes on."""
        folder = self._folder / "turn"
        shutil.rmtree(folder, ignore_errors=True)
        workspace = self._reference.copy(folder / "workspace", self._reference.missing(turn))
        started = time.monotonic()
        first = self._submit(workspace)
        self._await(turn, first, workspace)
        hit = self._reference.hit(turn, workspace)
        left = self._strike(turn.victim)
        seen = half_written(workspace)
        completed = went_on = turn.victim == SERVER and self._end(first) == "COMPLETED"
        if not went_on:
            state = self._ask(f"/flow_runs/{first}")["state"]["type"]
            completed = self._end(self._submit(workspace)) == "COMPLETED"
            hit += f"; the killed run's state after it: {state.lower()}"
        return verdict(
            turn, self._reference, workspace, left, seen,
            hit=hit, struck=turn.victim, went_on=went_on, completed=completed,
            seconds=round(time.monotonic() - started, 1),
        )  # fmt: skip

    def _submit(self, workspace: Path) -> str:
        """Start a run of the deployment; returns its id."""
        given = [f"overrides={json.dumps(overrides())}", f"workspace={workspace}"]
        parameters = [part for text in given for part in ("--param", text)]
        said = self._do("prefect", "deployment", "run", DEPLOYMENT, *parameters)
        [found] = set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", said))
        return str(found)

    def _end(self, flow_run: str) -> str:
        """The state in which a run ends."""
        until(lambda: self._state(flow_run) in ENDS, PATIENCE_S, every=0.5)
        return self._state(flow_run)

    def _state(self, flow_run: str) -> str:
        found = self._ask(f"/flow_runs/{flow_run}")
        return str(found["state"]["type"]) if found else ""

    def _await(self, turn: Turn, flow_run: str, workspace: Path) -> None:
        def begun() -> bool:
            return self._reference.begun(turn, workspace) or self._state(flow_run) in ENDS

        until(begun, PATIENCE_S, every=0.1)
        time.sleep(turn.moment * SPREAD * self._reference.seconds(turn.target))

    def _strike(self, victim: str) -> int:
        """Kill and start again; returns how many processes outlived the one they belong to."""
        if victim == SERVER:
            kill([self._server.pid])
            self._server.wait()
            time.sleep(DOWN_S)
            self._serve()
            return 0
        flow = family(self._worker.pid) - {self._worker.pid}
        if victim == FLOW:
            kill([min(flow)] if flow else [])
        else:
            kill([self._worker.pid])
            self._worker.wait()
        left = self._left(flow)
        if victim == WORKER:
            self._work()
        return left

    def _left(self, flow: set[int]) -> int:
        deadline = time.monotonic() + GONE_S
        home = Path(self._env["HOME"])
        while (left := flow & living(home)) and time.monotonic() < deadline:
            time.sleep(0.2)
        kill(left)  # so that the next kill finds what it should
        return len(left)
