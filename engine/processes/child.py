"""A stage in a process of its own, which dies with its parent.

A time-out, an out-of-memory kill, a cancellation or a `kill -9` ends exactly that stage, nothing
is orphaned, and memory returns to zero between stages.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import ConfigError, UserError
from vesselforge.engine.artifacts import Stage
from vesselforge.engine.processes.children import (
    GRACE_S,
    Child,
    Reporter,
    StageCrashed,
    converse,
    endings,
    environment_of,
    started,
)
from vesselforge.engine.processes.forking import serve
from vesselforge.engine.processes.forkserver import KeptServer
from vesselforge.engine.processes.lifetimes import die_with_parent
from vesselforge.engine.progress import Progress
from vesselforge.engine.store import Store

__all__ = ["StageCrashed", "run_in_child"]

COMMAND = [sys.executable, "-m", "vesselforge.engine.processes.child"]
SERVER = KeptServer(COMMAND, late={"CUDA_VISIBLE_DEVICES"})
"""It touches no GPU, so that every stage may be given another one."""


def run_in_child(
    spec: dict[str, Any], progress: Progress, environment: Mapping[str, str] | None = None
) -> None:
    """Run `work` on the spec, in another process, until it has published its artifact.

    environment: goes over this process's own.

    Raises what the stage raised: UserError, Interrupted, or StageCrashed.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:  # every process of it would want the same artifact
        raise ConfigError(
            "this command was started by torchrun; start it as it is and set `processes` of what "
            "is trained (--set generator.processes=2, --set teacher.processes=2): it starts "
            "torchrun itself"
        )
    modules = [spec["stage"]["settings"], spec["stage"]["function"]]
    child = _start([name.partition(":")[0] for name in modules], environment_of(environment))
    converse(child, spec["kind"], progress, stdin=json.dumps(spec), grace=GRACE_S)


def _start(modules: Sequence[str], environment: Mapping[str, str]) -> Child:
    """A child with this environment; where that is possible, one that has the modules."""
    if sys.platform != "linux":
        return started(COMMAND, environment)
    return SERVER.start(modules, environment)


def main() -> None:
    """With the number of a socket as argument: fork processes that do a stage each; else do one."""
    if sys.argv[1:]:
        serve(int(sys.argv[1]), work)
    die_with_parent(signal.SIGKILL)
    work()


def work() -> None:
    """Read a spec from standard input, run its stage, publish the artifact."""
    spec = json.loads(sys.stdin.read())
    reporter = Reporter()
    store = Store(Path(spec["workspace"]))
    stage = named_stage(spec["stage"])
    with endings():
        inputs = {}
        for name, (kind, digest) in spec["inputs"].items():
            artifact = store.find(kind, digest)
            if artifact is None:
                raise UserError(f"{store.folder(kind, digest)}: input artifact is gone; run again")
            inputs[name] = artifact
        settings = stage.settings.model_validate(spec["settings"])
        store.produce(stage, settings, inputs, reporter, spec["outside"])


def name_stage(stage: Stage) -> dict[str, Any]:
    """A stage as JSON, so that the child runs exactly the one that the parent means."""
    model = stage.settings
    return {
        "kind": stage.kind,
        "version": stage.version,
        "function": stage.function,
        "settings": f"{model.__module__}:{model.__qualname__}",
        "outside": stage.outside,
    }


def named_stage(named: Mapping[str, Any]) -> Stage:
    """The child's end of `_name_stage`."""
    module, _, name = named["settings"].partition(":")
    model = getattr(importlib.import_module(module), name)
    return Stage(named["kind"], named["version"], named["function"], model, named["outside"])


if __name__ == "__main__":
    main()
