"""Kills under `vesselforge serve`: the Prefect server, the worker, a flow's process."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.reliability.pipeline import overrides
from benchmarks.reliability.processes import (
    REPOSITORY,
    called,
    environment,
    family,
    free_port,
    kill,
    living,
    run,
    running,
    until,
)
from benchmarks.reliability.reference import PATIENCE_S

SERVER, WORKER, FLOW = "the server", "the worker", "the flow's process"
VICTIMS = [SERVER, WORKER, FLOW]
COMMANDS = {
    SERVER: "vesselforge.flows.serving.attached\0server",
    WORKER: "vesselforge.flows.serving.attached\0worker",
}
DEPLOYMENT = "augmentation-pipeline/quickstart"
SAVED_S = 60.0
"""For a flow whose worker is gone to save its checkpoint and end, on a busy machine."""
ENDS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class Deployed:
    """`kill_chain.Driver` by `vesselforge serve`, on a free port and with a home of its own, while
    inside."""

    poll_s = 0.1

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "served"
        self.workspace = self._folder / "workspace"
        self._run: str | None = None
        self._port = str(free_port())
        self._api = f"http://127.0.0.1:{self._port}/api"
        self._env = environment(folder / "home-served", PREFECT_API_URL=self._api)
        self._stack = ExitStack()

    def __enter__(self) -> Deployed:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        log = self._folder / "serve.txt"
        command = ["vesselforge", "serve", "--port", self._port]
        with ExitStack() as stack:
            self._serve = stack.enter_context(running(command, self._env, REPOSITORY, str(log)))
            until(lambda: "serving http" in log.read_text(), PATIENCE_S, every=0.2)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _pid(self, victim: str) -> int | None:
        """Of the server or the worker that is there now."""
        found = called(family(self._serve.pid), COMMANDS[victim])
        return found[0] if found else None

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

    def begin(self) -> None:
        self._run = self._submit(self.workspace)

    def over(self) -> bool:
        return self._run is None or self._state(self._run) in ENDS

    def well(self) -> bool:
        return self._run is not None and self._state(self._run) == "COMPLETED"

    def _submit(self, workspace: Path) -> str:
        """Start a run of the deployment; returns its id."""
        given = [f"overrides={json.dumps(overrides())}", f"workspace={workspace}"]
        parameters = [part for text in given for part in ("--param", text)]
        said = self._do("prefect", "deployment", "run", DEPLOYMENT, *parameters)
        [found] = set(re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", said))
        return str(found)

    def _state(self, flow_run: str) -> str:
        found = self._ask(f"/flow_runs/{flow_run}")
        return str(found["state"]["type"]) if found else ""

    def strike(self, victim: str) -> tuple[str, int]:
        """What was killed is started again by `serve`, which is waited for."""
        worker = self._pid(WORKER)
        flow = family(worker) - {worker} if worker is not None else set()
        if victim == FLOW:
            kill(sorted(flow)[:1])  # its stage is younger
        else:
            old = self._pid(victim)
            assert old is not None, f"{victim} is not there"
            kill([old] if victim == WORKER else family(old))
            until(lambda: self._pid(victim) not in (None, old), PATIENCE_S, every=0.1)
            until(lambda: self._ask("/health"), PATIENCE_S, every=0.2)
        left = 0 if victim == SERVER else self._left(flow)
        if victim != SERVER:
            until(self.over, PATIENCE_S, every=0.2)
        return f"serve: {victim}", left

    def _left(self, processes: set[int]) -> int:
        deadline = time.monotonic() + SAVED_S
        home = Path(self._env["HOME"])
        while (left := processes & living(home)) and time.monotonic() < deadline:
            time.sleep(0.2)
        kill(left)  # so that the next kill finds what it should
        return len(left)
