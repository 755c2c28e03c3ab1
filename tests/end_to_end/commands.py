"""Real commands in real processes, and what is left of them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
SEGMENTER = {"steps": 4, "batch": 2, "crop": 32, "warmup": 1}
SEGMENTER |= {"validate_every": 2, "checkpoint_every": 1}
TINY: dict[str, dict[str, Any]] = {
    "data.phantom": {"train": 3, "validation": 2, "test": 2, "size": 64},
    "teacher": SEGMENTER,
    "generator": {
        "resolution": 16,
        "channel_base": 256,
        "channel_max": 16,
        "latent": 16,
        "batch": 4,
        "kimg": 0.064,
        "snapshot_kimg": 0.032,
        "checkpoint_every": 2,
    },
    "sample": {"count": 24, "batch": 4},
    "score": {"real_views": 8, "kid_subsets": 3, "kid_subset_size": 4},
    "pseudo_label": {"min_confidence": 0, "min_vessel_share": 0, "max_vessel_share": 1},
    "pretrain": SEGMENTER | {"crop": 16},
    "finetune": SEGMENTER,
    "evaluate": {"bootstrap": 100},
}
"""Changes that make the quickstart as small as it gets; nothing learns anything from it."""


def overrides() -> list[str]:
    """TINY as `a.b=value`."""
    return [f"{group}.{key}={v}" for group, keys in TINY.items() for key, v in keys.items()]


def tiny(verb: str, workspace: Path, *more: str) -> list[str]:
    """`vesselforge <verb> quickstart`, made tiny."""
    sets = [part for change in overrides() for part in ("--set", change)]
    return ["vesselforge", *verb.split(), "quickstart", *sets, "--workspace", str(workspace), *more]


def environment(home: Path, **more: str) -> dict[str, str]:
    """This one, with an empty HOME and no Prefect settings of the user's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "VESSELFORGE_"))}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    home.mkdir(parents=True, exist_ok=True)
    return kept | {"HOME": str(home), "PREFECT_HOME": str(home / "prefect"), "PATH": path} | more


def run(
    command: list[str], env: dict[str, str], cwd: Path, timeout: float = 900
) -> subprocess.CompletedProcess[str]:
    """The command's output and exit status."""
    return subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, timeout=timeout
    )


@contextmanager
def running(command: list[str], env: dict[str, str], cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """The command in the background, output to a file in cwd; killed with all it has started."""
    with (cwd / "output.txt").open("a") as output:
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdout=output, stderr=output, text=True,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        left = family(process.pid)
        process.kill()
        process.wait()
        for pid in left:
            subprocess.run(["kill", "-9", str(pid)], stderr=subprocess.DEVNULL, check=False)


def family(pid: int) -> set[int]:
    """The process and all below it."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found = {pid} & parents.keys()
    while new := {child for child, parent in parents.items() if parent in found} - found:
        found |= new
    return found


def until(true: Callable[[], Any], seconds: float = 120, every: float = 0.01) -> None:
    """Wait for something that must become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(every)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def manifests(workspace: Path) -> dict[str, dict[str, Any]]:
    """kind/digest → manifest of every finished artifact."""
    found = (workspace / "store").glob("*/*/manifest.json")
    return {f"{p.parent.parent.name}/{p.parent.name}": json.loads(p.read_text()) for p in found}


def contents(workspace: Path) -> dict[str, dict[str, str]]:
    """kind/digest → name → SHA-256 of every file."""
    return {name: manifest["files"] for name, manifest in manifests(workspace).items()}


def record(workspace: Path) -> dict[str, Any]:
    """run.json of the quickstart."""
    path = workspace / "runs" / "quickstart" / "run.json"
    return dict(json.loads(path.read_text()))
