"""Several processes for one stage: torchrun starts them, and they die with the one that asked.

The stage's process calls `run_in_workers` instead of its work; every worker calls the same stage
function, finds its rank by `ranks.default_group()`, and rank 0 alone reports and writes files.

To start the workers by hand instead (several machines, a cluster's own launcher), let
`torchrun --nproc-per-node=2 script.py` run a script that calls the stage function: in a process
that torchrun started it does not start workers of its own.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
from pathlib import Path
from pkgutil import resolve_name

from pydantic import BaseModel

from vesselforge.configs.errors import ConfigError
from vesselforge.engine.artifacts import Artifact, Inputs
from vesselforge.engine.processes.child import converse, environment_of, signal_name, started
from vesselforge.engine.processes.lifetimes import die_with_parent
from vesselforge.engine.processes.reporting import EXIT_CRASH, Reporter, emit, endings
from vesselforge.engine.progress import Progress

MODULE = "vesselforge.engine.torchrun.workers"


def among_workers() -> bool:
    """Whether this process was started by torchrun, to be one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def run_in_workers(
    function: str,
    settings: BaseModel,
    inputs: Inputs,
    out: Path,
    progress: Progress,
    processes: int,
) -> None:
    """Run a stage function, "module:function", in that many processes at once.

    A stop request reaches all of them. Raises what the function raised: UserError, Interrupted
    (checkpoint saved), or StageCrashed when a process was killed or failed; none is left then.
    """
    _check_devices(settings, processes)
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    defaults = {"OMP_NUM_THREADS": threads, "LOGLEVEL": "ERROR"}  # of torchrun's own messages
    if sys.platform == "linux":
        defaults["GLOO_SOCKET_IFNAME"] = "lo"  # else the host's name must be resolvable
    environment = {name: value for name, value in defaults.items() if name not in os.environ}
    told = {
        "function": function,
        "model": f"{type(settings).__module__}:{type(settings).__qualname__}",
        "settings": settings.model_dump(mode="json"),
        "inputs": {name: [str(a.path), a.manifest] for name, a in inputs.items()},
        "out": str(out),
    }
    with tempfile.NamedTemporaryFile("w") as spec:
        json.dump(told, spec)
        spec.flush()
        command = [sys.executable, "-m", MODULE, str(processes), spec.name]
        child = started(command, environment_of(environment))
        converse(child, function.partition(":")[0], progress)


def _check_devices(settings: BaseModel, processes: int) -> None:
    """One process a GPU: NCCL cannot share one."""
    import torch

    from vesselforge.engine.devices import pick_device

    if pick_device(getattr(settings, "device", "auto")).type == "cuda":
        found = torch.cuda.device_count()
        if processes > found:
            raise ConfigError(
                f"processes: {processes} needs that many GPUs, one each, and this machine has "
                f"{found}; set processes: {found}, or device: cpu"
            )


def launch(processes: int, spec: str) -> None:
    """Be torchrun; the workers die with it, and it with its parent."""
    die_with_parent(signal.SIGKILL)
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    logging.getLogger("torch.distributed.elastic").setLevel(logging.ERROR)
    options = [
        "--standalone", f"--nproc-per-node={processes}", "--local-addr=127.0.0.1",
        "--max-restarts=0", "--monitor-interval=0.1",
    ]  # fmt: skip
    try:
        run(parse_args([*options, "--module", MODULE, spec]))
    except ChildFailedError as error:
        # One that lost contact with a killed one may have been seen to end before it.
        rank, failure = min(
            error.failures.items(), key=lambda one: (one[1].exitcode >= 0, one[1].timestamp)
        )
        if failure.exitcode < 0:
            name = signal_name(-failure.exitcode)
            text = f"process {rank + 1} of {processes} was ended by {name}"
            emit("crash", transient=True, text=text)
        sys.exit(EXIT_CRASH)
    except SignalException:  # asked to stop; the workers said how that went
        sys.exit(EXIT_CRASH)


def work(spec: str) -> None:
    """Be one of the workers."""
    die_with_parent(signal.SIGKILL)
    reporter = Reporter(silent=os.environ["RANK"] != "0")
    from vesselforge.engine.torchrun.ranks import default_group

    # An interrupted worker ends well: torchrun would stop the others, who may still be saving.
    with endings(interrupted=0):
        default_group()
        told = json.loads(Path(spec).read_text())
        settings = resolve_name(told["model"]).model_validate(told["settings"])
        inputs = {name: Artifact(Path(path), m) for name, (path, m) in told["inputs"].items()}
        resolve_name(told["function"])(settings, inputs, Path(told["out"]), reporter)
    default_group().any(False)  # nobody leaves while another still talks
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # closing gloo's connections while the peer closes them may abort the process


if __name__ == "__main__":
    if among_workers():
        work(sys.argv[1])
    else:
        launch(int(sys.argv[1]), sys.argv[2])
