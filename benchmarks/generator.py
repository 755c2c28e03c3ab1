"""How fast the generator is here, against its plain definitions and the arithmetic it has to do.

    python -m benchmarks.generator [--device cuda] [--only sampling|training]
                                   [--seconds 5] [--quick] [--json FILE]

Absolute times depend on the machine and its neighbours: compare ratios, which are taken in one run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.cases import BFLOAT16, FLOAT32, REFERENCE
from vesselforge.engine.files import write_atomic
from vesselforge.engine.processes.child import ENVIRONMENT


class Case(NamedTuple):
    """One measurement; those of one `title` are compared with the first of them."""

    title: str
    way: str
    spec: dict[str, Any]


def plan(device: str, quick: bool) -> Iterator[Case]:
    """Yield what to measure on a kind of device."""
    ways = [REFERENCE, FLOAT32, BFLOAT16]
    if device == "cuda":  # the plain definitions are a CPU matter: eager float32 is the yardstick
        ways = [FLOAT32, BFLOAT16]
    samplings, trainings = _quick() if quick else _cuda() if device == "cuda" else _cpu()
    for kind, variants in (("sampling", samplings), ("training", trainings)):
        for title, values in variants.items():
            for way in ways:
                yield Case(title, way, {"case": kind, "way": way, **values})


Variants = dict[str, dict[str, Any]]


def _cpu() -> tuple[Variants, Variants]:
    network = {"resolution": 256, "channel_base": 16384, "channel_max": 512}
    samplings = {
        f"sampling 256², base 16384, batch {n}": {"batch": n, **network} for n in (1, 4, 16)
    }
    common = {"resolution": 64, "batch": 8, "mapping_layers": 2}
    trainings = {
        "training 64², base 16384": {
            "channel_base": 16384, "channel_max": 512, "latent": 512, **common
        },
        "training 64², base 2048": {
            "channel_base": 2048, "channel_max": 128, "latent": 128, **common
        },
    }  # fmt: skip
    return samplings, trainings


def _cuda() -> tuple[Variants, Variants]:
    samplings: Variants = {
        f"sampling {side}², batch 32": {
            "batch": 32, "resolution": side, "channel_max": 512,
            "channel_base": 32768 if side >= 512 else 16384,
        }
        for side in (256, 512)
    }  # fmt: skip
    trainings: Variants = {
        f"training {side}², preset auto": {"preset": "auto", "resolution": side}
        for side in (64, 128, 256, 512)
    }
    return samplings, trainings


def _quick() -> tuple[Variants, Variants]:
    network = {"resolution": 16, "channel_base": 128, "channel_max": 8}
    samplings: Variants = {"sampling 16²": {"batch": 2, **network}}
    return samplings, {"training 16²": {"batch": 4, "latent": 8, "mapping_layers": 1, **network}}


def measure(spec: dict[str, Any]) -> dict[str, float]:
    """Run one case in a process of its own, with the environment that stages get."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.cases", json.dumps(spec)],
        env=ENVIRONMENT | dict(os.environ),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    result: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return result


HEADER = f"{'':32s} {'way':17s} {'time':>12s} {'ratio':>6s} {'GFLOP':>8s} {'floor':>9s} {'GiB':>5s}"


def row(case: Case, result: dict[str, float], first: dict[str, float], top: float) -> str:
    """Return one line: time, how many times faster than the first way, distance to the floor."""
    kind = "seconds" if "seconds" in result else "iteration"
    seconds, floor = result[kind], result["gflop"] / top
    text = f"{case.title:32s} {case.way:17s} {_time(seconds):>12s} {first[kind] / seconds:6.2f}"
    text += f" {result['gflop']:8.1f} {seconds / floor:8.2f}x {result['memory']:5.1f}"
    if kind == "seconds":
        return text + f"   {1 / seconds:.1f} images/s"
    parts = ", ".join(
        f"{name} {result[name]:.3f}" for name in ("generator", "discriminator", "path", "r1")
    )
    around = (
        f"augmentation {result['augment'] / result['iteration']:.1%}, "
        f"bookkeeping {result['bookkeeping_share']:.1%} of a tick, "
        f"save {result['save']:.2f} s, resume {result['resume']:.2f} s, "
        f"{result['seconds_per_kimg']:.1f} s/kimg"
    )
    return f"{text}\n{'':34s}{parts}\n{'':34s}{around}"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def main(arguments: list[str] | None = None) -> None:
    """Measure everything and print the table; `--json` also writes it to a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--only", choices=["sampling", "training"])
    parser.add_argument("--match", default="", help="only lines whose title contains this")
    parser.add_argument("--seconds", type=float, default=5.0, help="about so long a number")
    parser.add_argument("--quick", action="store_true", help="a tiny network: does it run at all?")
    parser.add_argument("--json", type=Path, metavar="FILE")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no CUDA device here")
    base = {"device": given.device, "seconds": given.seconds}
    top = measure(base | {"case": "peak"} | ({"channels": 16, "side": 16} if given.quick else {}))
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, "
          f"torch {torch.__version__}")  # fmt: skip
    rates = {name: round(rate) for name, rate in top.items() if name != "memory"}
    print("peak GFLOP/s:", ", ".join(f"{name} {rate}" for name, rate in rates.items()))
    print("floor: how many times longer than its arithmetic takes at the peak of convolutions\n")
    print(HEADER)
    rows = []
    first: dict[str, dict[str, float]] = {}
    for case in plan(given.device, given.quick):
        if given.only not in (None, case.spec["case"]) or given.match not in case.title:
            continue
        result = measure(base | case.spec)
        rate = top["conv_bfloat16" if case.way.startswith(BFLOAT16) else "conv_float32"]
        baseline = first.setdefault(case.title, result)
        print(row(case, result, baseline, rate), flush=True)
        rows.append({"title": case.title, "way": case.way, **result})
    if given.json:
        content = {"peak": top, "torch": torch.__version__, "rows": rows}
        write_atomic(given.json, json.dumps(content, indent=2))


if __name__ == "__main__":
    main()
