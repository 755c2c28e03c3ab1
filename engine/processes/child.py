"""A stage in a process of its own, which dies with its parent.

A time-out, an out-of-memory kill, a cancellation or a `kill -9` ends exactly that stage, nothing
is orphaned, and memory returns to zero between stages.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from vesselforge.configs.errors import ConfigError, UserError
from vesselforge.engine.artifacts import Stage
from vesselforge.engine.processes.children import converse, environment_of, started
from vesselforge.engine.processes.forked import Forked, usable
from vesselforge.engine.processes.lifetimes import die_with_parent
from vesselforge.engine.processes.reporting import Reporter, endings
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import Store

COMMAND = [sys.executable, "-m", "vesselforge.engine.processes.child"]


@dataclass(frozen=True)
class Job:
    """A stage and what it works on, as it travels to the child.

    settings: as JSON. inputs: name → kind and digest. outside: hashes of other inputs.
    """

    workspace: Path
    stage: Stage
    settings: dict[str, Any]
    inputs: dict[str, tuple[str, str]]
    outside: dict[str, str]

    def run(self, progress: Progress) -> None:
        """Run the stage in this process, and publish its artifact."""
        settings = self.stage.settings.model_validate(self.settings)
        store, found = Store(self.workspace), {}
        for name, where in self.inputs.items():
            artifact = store.find(*where)
            if artifact is None:
                raise UserError(f"{store.folder(*where)}: input artifact is gone; run again")
            found[name] = artifact
        store.produce(self.stage, settings, found, progress, self.outside)


JOB = TypeAdapter(Job)


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
    told, wanted, child = JOB.dump_json(job).decode(), environment_of(environment), None
    if usable(job.stage.function.partition(":")[0], wanted, preload):
        with contextlib.suppress(EOFError, ConnectionError):  # a module ended the server
            child = Forked(work, told, wanted)
    converse(child or started(COMMAND, wanted, told), job.stage.kind, progress)


def work(text: str) -> None:
    """In the child: run the job and tell how it goes."""
    reporter = Reporter()
    with endings():
        JOB.validate_json(text).run(reporter)


if __name__ == "__main__":
    die_with_parent(signal.SIGKILL)
    work(sys.stdin.read())
