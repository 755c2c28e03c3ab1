"""What orchestration costs: `vesselforge run` beside a program that only calls the stages.

    python -m benchmarks.reliability.overhead [--minutes 10] [--rounds 2] [--json FILE]

The program does the same steps with the same settings through the same store, one after another in
one process: no Prefect, no child processes, no report. Both run at once, one thread each, each on
a core of its own, from their start to their end; every round they change cores. On a busy machine
look at the processor's seconds rather than at the clock's. Linux, two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.reliability.pipeline import contents, manifests, record
from benchmarks.reliability.processes import environment, family, kill, stoppable
from benchmarks.reliability.tables import facts, markdown, write
from vesselforge.engine.processes.child import ENVIRONMENT

Row = dict[str, Any]

RUN, DIRECT = "vesselforge run", "stages alone"
QUICKSTART_MINUTES = 7.0
"""About what the quickstart's training takes on one core of the machine this was tried on."""
LENGTHS = {
    "teacher.steps": 450,
    "generator.kimg": 1.0,
    "pretrain.steps": 150,
    "finetune.steps": 300,
}
"""The quickstart's, which are multiplied."""


def changes(minutes: float) -> list[str]:
    """Settings that make the quickstart about so long."""
    share = minutes / QUICKSTART_MINUTES
    return [
        f"{name}={max(1, round(length * share)) if isinstance(length, int) else length * share}"
        for name, length in LENGTHS.items()
    ]


def direct(workspace: Path, overrides: list[str]) -> None:
    """The program that only calls the stages; in this process."""
    from vesselforge.configs.load import load
    from vesselforge.configs.settings import PipelineConfig
    from vesselforge.pipeline.executor import Executor
    from vesselforge.pipeline.record import RunRecord
    from vesselforge.pipeline.run.run_works import augment, run_works

    config = load(PipelineConfig, "quickstart", overrides)
    run_record = RunRecord(workspace, config)
    executor = Executor(workspace, _bare_hand(workspace), run_record.made)
    augment(run_works(config), executor, run_record)
    run_record.finish("completed")


def _bare_hand(workspace: Path) -> Any:
    """Does work without anything around it."""
    from vesselforge.engine.artifacts import Outcome
    from vesselforge.engine.progress import Progress
    from vesselforge.engine.store import Store
    from vesselforge.pipeline.executor import Hand
    from vesselforge.pipeline.graph import Work
    from vesselforge.pipeline.stages import STAGES

    class Bare(Hand):
        def start(self, work: Work) -> Outcome:
            started, store = time.monotonic(), Store(workspace).open()
            inputs = {name: store.read(w.kind, w.digest) for name, w in work.inputs.items()}
            stage = STAGES[work.kind]
            made = store.produce(stage, work.settings, inputs, Progress(), work.outside)
            return Outcome(made, False, time.monotonic() - started)

    return Bare()


def start(command: list[str], env: dict[str, str], core: int, log: Path) -> subprocess.Popen[str]:
    """A process that holds a command, and all that it starts, on one core and says what it took."""
    code = (
        "import json, os, resource, subprocess, sys, time\n"
        f"os.sched_setaffinity(0, [{core}])\n"
        "began = time.time()\n"
        f"status = subprocess.call({command!r}, stdout=sys.stderr)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps({'status': status, 'began': began, 'ended': time.time(),\n"
        "                  'processor': used.ru_utime + used.ru_stime}))\n"
    )
    with log.open("w") as stream:
        return subprocess.Popen(
            [sys.executable, "-c", code], env=env, cwd=log.parent, text=True,
            stdout=subprocess.PIPE, stderr=stream,
        )  # fmt: skip


def prepared(home: Path) -> dict[str, str]:
    """The environment of both ways; Prefect has made its database there, as once on a machine."""
    env = ENVIRONMENT | environment(home, OMP_NUM_THREADS="1")
    code = "from vesselforge.flows.serving.embedded import api\nwith api():\n    pass\n"
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    return env


def both(
    folder: Path, overrides: list[str], cores: tuple[int, int], env: dict[str, str]
) -> dict[str, Row]:
    """Way → what it took, both at once from empty workspaces. cores: of the run, of the program."""
    folder.mkdir(parents=True)
    spaces = {RUN: folder / "run", DIRECT: folder / "direct"}
    sets = [part for change in overrides for part in ("--set", change)]
    commands = {
        RUN: ["vesselforge", "run", "quickstart", *sets, "--workspace", str(spaces[RUN])],
        DIRECT: [sys.executable, "-m", __spec__.name, "--direct", str(spaces[DIRECT]), *overrides],
    }
    running = {
        way: start(commands[way], env, core, folder / f"{spaces[way].name}.txt")
        for way, core in zip((RUN, DIRECT), cores, strict=True)
    }
    found = {}
    try:
        for way, process in running.items():
            said = json.loads(process.communicate()[0])
            if said["status"]:
                raise RuntimeError(f"{way} failed, see {folder}/{spaces[way].name}.txt")
            found[way] = shares(spaces[way], said)
    finally:
        for process in running.values():
            kill(family(process.pid))
    if contents(spaces[RUN]) != contents(spaces[DIRECT]):
        raise RuntimeError("the two ways made different files: they are not comparable")
    return found


def shares(workspace: Path, said: Row) -> Row:
    """Where the clock's seconds went."""
    told = record(workspace)
    folder = workspace / "runs" / "quickstart"
    first = (folder / "config.yaml").stat().st_mtime  # written when everything before is loaded
    last = (workspace / "store" / "segmenter.evaluate").stat().st_mtime
    steps = sum(step["seconds"] for step in told["steps"])
    work = sum(manifest["seconds"] for manifest in manifests(workspace).values())
    return {
        "clock": said["ended"] - said["began"],
        "processor": said["processor"],
        "before the first step": first - said["began"],
        "in the stages": work,
        "starting stages": steps - work,
        "between the steps": last - first - steps,
        "after the last step": said["ended"] - last,
    }


def table(rounds: list[dict[str, Row]]) -> list[Row]:
    """One line a figure: medians over the rounds, and their ratio."""
    rows = []
    for name in rounds[0][RUN]:
        run, alone = (statistics.median(r[way][name] for r in rounds) for way in (RUN, DIRECT))
        ratio = f"{run / alone:.3f}" if name in ("clock", "processor") else ""
        rows.append({"seconds": name, RUN: f"{run:.1f}", DIRECT: f"{alone:.1f}", "ratio": ratio})
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="about so long a run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="work here, and leave it")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--direct", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.direct:
        direct(Path(given.direct[0]), given.direct[1:])
        return
    stoppable()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        parser.error("this needs two cores, one for each way")
    rounds: list[dict[str, Row]] = []
    with tempfile.TemporaryDirectory(prefix="vesselforge-overhead-") as temporary:
        folder = (given.folder or Path(temporary)).absolute()
        try:
            env = prepared(folder / "home")
            for number in range(given.rounds):
                pair = (cores[number % 2], cores[1 - number % 2])
                print(f"round {number + 1} of {given.rounds}", flush=True)
                place, sets = folder / f"round-{number + 1}", changes(given.minutes)
                rounds.append(both(place, sets, pair, env))
                print(f"\n{markdown(table(rounds))}\n", flush=True)
                content = {"facts": facts(minutes=given.minutes), "rounds": rounds}
                write(given.json, content)
        except KeyboardInterrupt:
            print(f"stopped after {len(rounds)} rounds")


if __name__ == "__main__":
    main()
