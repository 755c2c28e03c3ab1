"""How fast the segmenters are here, against plain PyTorch: tables in Markdown.

    python -m benchmarks.segmenter [--device cuda] [--only inference|training|score] [--threads 2]
                                   [--seconds 8] [--heavy] [--compile] [--out FILE] [--quick]
                                   [--model FOLDER ... [--dataset drive] [--root FOLDER]]

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

from benchmarks.segmenter_cases import PLAIN, name_of
from vesselforge.engine.files import write_atomic

LIGHT, HEAVY = tuple(PLAIN), ("sa2-net", "unet-v2")
PAPERS = "SA-UNetv2's paper states 1 s for an image of this size on a CPU."
PARTS = ("inference", "training", "score")


class Case(NamedTuple):
    """One table. kind: `inference`, `training`, `agreement` or `score`."""

    title: str
    kind: str
    spec: dict[str, Any]


def plan(given: argparse.Namespace) -> Iterator[Case]:
    """Yield the tables that were asked for, the scores last."""
    wanted = PARTS if given.only is None else (given.only,)
    common = {"device": given.device, "seconds": 0.0 if given.quick else given.seconds}
    size, crop, batch, side = (40, 64, 2, 96) if given.quick else (592, 224, 8, 584)
    if "inference" in wanted:
        for network in LIGHT + (HEAVY if given.heavy else ()):
            spec = {"network": network, "size": size, "exported": not given.quick} | common
            if given.compile:
                spec["compile"] = True
            trained = [str(folder) for folder in given.model if name_of(folder) == network]
            if trained:
                spec["model"] = trained[0]
            yield Case(f"Inference, {network}, one image of {size}²", "inference", spec)
    if "training" in wanted:
        for network in LIGHT:
            spec = {"network": network, "crop": crop, "batch": batch, "side": side} | common
            title = f"Training step, {network}, {batch} crops of {crop}²"
            yield Case(title, "training", spec)
    for folder in given.model:
        spec = {"model": str(folder), "dataset": given.dataset, "root": given.root}
        title = f"Agreement, {folder.name}, test images of {given.dataset}"
        yield Case(title, "agreement", spec)
    if "score" in wanted and given.device == "cpu":
        yield Case("Scoring 20 images, all metrics, one core", "score", {})


def measure(case: Case, threads: int) -> Any:
    """Run one case in a process of its own, with the user's environment."""
    if case.kind == "score":
        command = [sys.executable, "-m", "benchmarks.scoring"]
    else:
        spec = json.dumps(case.spec | {"case": case.kind, "threads": threads})
        command = [sys.executable, "-m", "benchmarks.segmenter_cases", spec]
    run = subprocess.run(
        command,
        env=dict(os.environ) | {"OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


def table(case: Case, rows: Any) -> str:
    """One section: a title and a table."""
    if case.kind == "score":
        text = f"{rows['images']} images, {rows['metrics']} metrics, twice (in the field of view "
        text += f"and whole): {rows['seconds']:.1f} s"
        return f"### {case.title}\n\n{text}\n"
    if case.kind == "agreement":
        header = "| way | images | largest change in probability | mean | F1 (FOV, pooled) |"
        lines = [
            f"| {r['way']} | {r['images']} | {r['largest']:.1e} | {r['mean']:.1e} | {r['f1']:.5f} |"
            for r in rows
        ]
    else:
        header = "| way | least | median | faster (least) | faster (median) | runs |"
        header += " largest change in probability |" if case.kind == "inference" else ""
        lines = [_timed(r) for r in rows]
    rule = "| --- |" + " ---: |" * (header.count("|") - 2)
    return "\n".join([f"### {case.title}", "", header, rule, *lines, "", *_remarks(case, rows)])


def _remarks(case: Case, rows: Any) -> list[str]:
    """What the ratios do not say."""
    if case.kind == "inference" and case.spec["network"] == "sa-unet-v2":
        return [PAPERS, ""]
    if case.kind == "training":
        step, loading = rows[-2]["median"], rows[-1]["median"]
        return [f"Loading a batch takes {loading / step:.0%} of our step.", ""]
    return []


def _timed(row: dict[str, Any]) -> str:
    text = f"| {row['way']} | {_time(row['least'])} | {_time(row['median'])} "
    text += f"| {row['ratio']:.2f} | {row['ratio_of_medians']:.2f} | {row['rounds']} |"
    return text + (f" {row['difference']:.1e} |" if "difference" in row else "")


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def machine(threads: int, device: str) -> str:
    """One line: what this was measured on."""
    name = platform.processor() or platform.machine()
    if device == "cuda":
        name = torch.cuda.get_device_name()
    elif Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line for line in lines if line.startswith("model name")]
        name = models[0].split(":")[1].strip() if models else name
    load = f", load {os.getloadavg()[0]:.1f} at the start"
    return f"{name}, {threads} of {os.cpu_count()} cores, torch {torch.__version__}{load}"


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8.0, help="about so long a table")
    parser.add_argument("--heavy", action="store_true", help=f"also {' and '.join(HEAVY)}")
    parser.add_argument("--compile", action="store_true", help="also torch.compile (minutes)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it run at all?")
    parser.add_argument("--model", type=Path, action="append", default=[], metavar="FOLDER",
                        help="compare predictions of a trained network on test images")  # fmt: skip
    parser.add_argument("--dataset", default="drive")
    parser.add_argument("--root", help="folder of the dataset")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the tables there")
    found = parser.parse_args(given)
    if found.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no CUDA device here")
    return found


def main(given: list[str] | None = None) -> None:
    """Measure everything and print the tables."""
    options = arguments(given)
    texts = [machine(options.threads, options.device) + ".\n"]
    print(texts[0], flush=True)
    for case in plan(options):
        texts.append(table(case, measure(case, options.threads)))
        print(texts[-1], flush=True)
    if options.device == "cpu" and not torch.cuda.is_available():
        texts.append("No CUDA device here: rows of a GPU are left out (`--device cuda`).\n")
        print(texts[-1])
    if options.out:
        write_atomic(options.out, "\n".join(texts))


if __name__ == "__main__":
    main()
