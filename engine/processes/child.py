"""A stage in a process of its own, which dies with its parent.

A time-out, an out-of-memory kill, a cancellation or a `kill -9` ends exactly that stage, nothing
is orphaned, and memory returns to zero between stages.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from vesselforge.configs.errors import ConfigError, UserError
from vesselforge.engine.artifacts import Stage, imported, name_of
from vesselforge.engine.processes.children import Child, converse, environment_of, started
from vesselforge.engine.processes.forked import Forked, usable
from vesselforge.engine.processes.lifetimes import die_with_parent
from vesselforge.engine.processes.reporting import Reporter, endings
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import Store

COMMAND = [sys.executable, "-m", "vesselforge.engine.processes.child"]


@dataclass(frozen=True)
class Job:
    """A stage and what it works on. inputs: name → kind and digest."""

    workspace: Path
    stage: Stage
    settings: BaseModel
    inputs: Mapping[str, tuple[str, str]]
    outside: Mapping[str, str]

    def to_json(self) -> str:
        """As it travels to the child."""
        stage = self.stage
        return json.dumps(
            {
                "workspace": str(self.workspace),
                "stage": [stage.kind, stage.version, stage.function, name_of(stage.settings)],
                "check": stage.outside,
                "settings": self.settings.model_dump(mode="json"),
                "inputs": dict(self.inputs),
                "outside": dict(self.outside),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The child's end of `to_json`."""
        told = json.loads(text)
        kind, version, function, model = told["stage"]
        stage = Stage(kind, version, function, imported(model), told["check"])
        settings = stage.settings.model_validate(told["settings"])
        return cls(Path(told["workspace"]), stage, settings, told["inputs"], told["outside"])

    def run(self, progress: Progress) -> None:
        """Run the stage in this process, and publish its artifact."""
        store = Store(self.workspace)
        found = {}
        for name, where in self.inputs.items():
            artifact = store.find(*where)
            if artifact is None:
                raise UserError(f"{store.folder(*where)}: input artifact is gone; run again")
            found[name] = artifact
        store.produce(self.stage, self.settings, found, progress, self.outside)


def run_in_child(
    job: Job,
    progress: Progress,
    environment: Mapping[str, str] | None = None,
    preload: Sequence[str] = (),
) -> None:
    """Run a job in another process, until it has published its artifact.

    environment: goes over this process's own. preload: modules that stages need, which are loaded
    once for all when the first stage that is in one of them runs.

    Raises what the stage raised: UserError, Interrupted, or StageCrashed.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:  # every process of it would want the same artifact
        raise ConfigError(
            "this command was started by torchrun; start it as it is and set generator.processes "
            "(--set generator.processes=2): it starts torchrun itself"
        )
    child = _start(job, environment_of(environment), preload)
    converse(child, job.stage.kind, progress)


def _start(job: Job, environment: Mapping[str, str], preload: Sequence[str]) -> Child:
    if usable(job.stage.function.partition(":")[0], environment, preload):
        with contextlib.suppress(EOFError, ConnectionError):  # a module ended the server
            return Forked(work, job.to_json(), environment)
    return started(COMMAND, environment, job.to_json())


def work(text: str) -> None:
    """In the child: run the job and tell how it goes."""
    reporter = Reporter()
    with endings():
        Job.from_json(text).run(reporter)


if __name__ == "__main__":
    die_with_parent(signal.SIGKILL)
    work(sys.stdin.read())
