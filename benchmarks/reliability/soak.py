"""Scheduled retraining, run after run, and what grows: `python -m benchmarks.reliability.soak`.

`vesselforge serve` serves a deployment of `retrain` whose schedule asks for a run every few
seconds; new runs are refused while one is active. Before every second run one image changes, so
half of the runs train, compare and decide, and half find nothing to do. After each run: memory and
open files of server and worker, files in the workspace and in Prefect's home.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image
from scipy.stats import linregress

from benchmarks.reliability.processes import REPOSITORY as ROOT
from benchmarks.reliability.processes import stoppable
from vesselforge.data.formats.images import read_picture

FIT = {"steps": 4, "batch": 2, "crop": 32, "warmup": 1, "validate_every": 2}
CONFIG: dict[str, Any] = {
    "name": "soak",
    "data": {"name": "paired", "validation_share": 0.3},
    "teacher": FIT,
    "generator": {
        "presentation": "patch", "resolution": 16, "channel_base": 256, "channel_max": 16,
        "latent": 16, "batch": 4, "kimg": 0.064, "snapshot_kimg": 0.064,
    },
    "sample": {"count": 16, "batch": 4},
    "score": {"real_views": 8, "kid_subset_size": 4},
    "pseudo_label": {"min_confidence": 0, "min_vessel_share": 0, "max_vessel_share": 1},
    "pretrain": {"crop": 16},
    "evaluate": {"bootstrap": 100},
    "retrain": {"keep": 3, "margin": 0.2},
}  # fmt: skip
"""As small as a pipeline gets; nothing is learned, everything is done."""
FIGURES = {
    "server MiB": "memory of the server, resident",
    "worker MiB": "memory of the worker, resident",
    "server files": "files and sockets that the server has open",
    "worker files": "files and sockets that the worker has open",
    "workspace files": "files in the workspace",
    "Prefect files": "files in Prefect's home",
}
SETTLED = 0.4
"""Share of the runs after which nothing may grow: by then `keep` versions are there, and caches
and connection pools are filled."""


def main() -> None:
    """Parse, soak, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50, help="finished runs to wait for")
    parser.add_argument("--every", type=int, default=15, help="seconds between scheduled runs")
    parser.add_argument("--port", type=int, default=4390)
    parser.add_argument("--out", type=Path, help="JSON file of every figure after every run")
    options = parser.parse_args()
    stoppable()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        rows = soak(Path(folder), options)
    print(table(rows))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


def soak(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row of figures after each finished run."""
    write_eyes(folder / "eyes")
    environment = environment_in(folder, options.port)
    os.environ |= {name: environment[name] for name in ("PREFECT_HOME", "PREFECT_API_URL")}
    from prefect.client.orchestration import get_client  # reads the two when it is imported

    rows: list[dict[str, Any]] = []
    with serving(folder, environment, options.port) as pid, get_client(sync_client=True) as client:
        deploy(folder, environment, options.every)
        while len(rows) < options.runs:
            state = next_ended(client, len(rows))
            if len(rows) % 2:  # before runs 1, 3, 5 …
                change(folder / "eyes", len(rows))
            rows.append({"run": len(rows) + 1, "state": state} | figures(folder, pid))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def write_eyes(folder: Path) -> None:
    """Ten phantoms of 64 x 64 pixels."""
    from vesselforge.configs.settings import PhantomSettings
    from vesselforge.data.phantoms.sets import write_phantoms

    write_phantoms(folder, PhantomSettings(train=6, validation=2, test=2, size=64, seed=5))


def change(eyes: Path, number: int) -> None:
    """One image a shade darker or brighter, in one rename: no run sees half of it."""
    file = sorted((eyes / "images").glob("*.png"))[number % 10]
    pixels = read_picture(file).rgb().astype(int)
    changed = (pixels + (3 if number % 4 else -3)).clip(0, 255).astype(np.uint8)
    aside = file.with_name(f".{file.name}")
    Image.fromarray(changed).save(aside, format="PNG")
    aside.replace(file)


def environment_in(folder: Path, port: int) -> dict[str, str]:
    """Nothing of the user's own Prefect, a home and a workspace in the folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "VESSELFORGE_"))}
    return kept | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "VESSELFORGE_WORKSPACE": str(folder / "workspace"),
        "OMP_NUM_THREADS": "1",
    }


@contextlib.contextmanager
def serving(folder: Path, environment: dict[str, str], port: int) -> Iterator[int]:
    """`vesselforge serve`, ready; yields its process."""
    log = folder / "serve.txt"
    with log.open("w") as output:
        serve = subprocess.Popen(
            [sys.executable, "-m", "vesselforge", "serve", "--port", str(port)],
            cwd=ROOT, env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        while "serving http" not in log.read_text():
            if serve.poll() is not None:
                raise RuntimeError(f"serve ended: {log.read_text()}")
            time.sleep(0.5)
        yield serve.pid
    finally:
        serve.send_signal(signal.SIGINT)
        serve.wait(90)


def child_of(pid: int, what: str) -> int:
    """The child that runs `prefect <what> start`."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if what in Path(f"/proc/{child}/cmdline").read_text().split("\0"):
            return int(child)
    raise RuntimeError(f"no {what} below process {pid}")


def deploy(folder: Path, environment: dict[str, str], every: int) -> None:
    """`retrain/soak`, which is due every few seconds."""
    data = CONFIG["data"] | {"root": str(folder / "eyes")}
    deployment = {
        "name": "soak",
        "entrypoint": "flows/retrain.py:retrain",
        "parameters": {"config": CONFIG | {"data": data}},
        "work_pool": {"name": "local"},
        "schedules": [{"interval": every, "slug": "soak"}],
        "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
    }
    file = folder / "prefect.yaml"
    file.write_text(yaml.safe_dump({"name": "soak", "deployments": [deployment]}))
    command = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def next_ended(client: Any, before: int) -> str:
    """Wait for one more run to end; the name of its state."""
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    types = {"state": {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}}
    ended = FlowRunFilter.model_validate(types)
    while True:
        runs = client.read_flow_runs(
            flow_run_filter=ended, sort=FlowRunSort.END_TIME_DESC, limit=200
        )
        if len(runs) > before:
            return str(runs[0].state.name)
        time.sleep(2)


def figures(folder: Path, serve: int) -> dict[str, int]:
    """FIGURES, now; a part that was started again is another process, and starts small."""
    pids = {name: child_of(serve, name) for name in ("server", "worker")}
    found = {f"{name} MiB": memory(pid) for name, pid in pids.items()}
    found |= {
        f"{name} files": len(list(Path(f"/proc/{pid}/fd").iterdir())) for name, pid in pids.items()
    }
    found["workspace files"] = files_in(folder / "workspace")
    found["Prefect files"] = files_in(folder / "prefect")
    return found


def memory(pid: int) -> int:
    """Resident MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024


def files_in(folder: Path) -> int:
    """Regular files below a folder that is in use: what vanishes meanwhile does not count."""
    return sum(len(files) for _, _, files in os.walk(folder))


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: each figure at the start, after settling, at the end, and its slope since then."""
    start = int(len(rows) * SETTLED)
    settled = rows[start:]
    states: dict[str, int] = {}
    for row in rows:
        states[row["state"]] = states.get(row["state"], 0) + 1
    lines = [
        f"{len(rows)} runs: " + ", ".join(f"{n} {name}" for name, n in sorted(states.items())),
        "",
        f"| what | run 1 | run {start + 1} | run {len(rows)} | a run, from run {start + 1} on |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, what in FIGURES.items():
        fit = linregress([r["run"] for r in settled], [r[name] for r in settled])
        slope = f"{fit.slope:+.2f} ± {1.96 * np.nan_to_num(fit.stderr):.2f}"  # nan: all alike
        ends = (rows[0][name], settled[0][name], rows[-1][name])
        lines.append(f"| {what} | {' | '.join(map(str, ends))} | {slope} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
