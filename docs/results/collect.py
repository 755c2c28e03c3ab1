"""Collect what may be published of a run: python docs/results/collect.py RUN_FOLDER TARGET_FOLDER.

Scores, stage times, generated samples with their labels, predicted maps. Never a picture or a
label of the dataset itself, nor an overlay on one: those belong to its owners.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

METRICS = ("f1", "se", "sp", "precision", "acc", "auc", "ap", "mcc")
SHOWN = 12
"""Labelled samples in a picture."""


def collect(run: Path, target: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    store = run.parents[1] / "store"
    made = {role: store.joinpath(*where) for role, where in record["artifacts"].items()}
    evaluation = made["evaluation"]
    target.mkdir(parents=True, exist_ok=True)
    for name in ("metrics.json", "per_image.csv", "curves.json"):
        shutil.copyfile(evaluation / name, target / name)
    folders = {p: json.loads((p / "manifest.json").read_text()) for p in _artifacts(store, record)}
    stages = [
        {key: manifest.get(key) for key in ("kind", "digest", "seconds", "device", "metrics")}
        for manifest in folders.values()
        if manifest["kind"] != "segmenter.evaluate"
    ]
    (target / "stages.json").write_text(json.dumps(stages, indent=1) + "\n")
    grid = Image.open(made["samples"] / "grid.png")
    grid.crop((0, 0, min(grid.width, 512), min(grid.height, 256))).save(target / "samples.png")
    labelled(made["labelled"], "train").save(target / "labels-kept.png")
    rejected = labelled(made["labelled"], "rejected")
    if rejected.width:
        rejected.save(target / "labels-rejected.png")
    for rank, name in ranked(evaluation / "per_image.csv").items():
        shutil.copyfile(evaluation / f"prob/teacher/{name}.png", target / f"{rank}-{name}.png")
    print(table(json.loads((evaluation / "metrics.json").read_text())))
    print(f"seconds of all stages: {sum(stage['seconds'] for stage in folders.values()):.0f}")


def ranked(scores: Path) -> dict[str, str]:
    """best, median, worst → test image, by the teacher's F1 in the FOV."""
    with scores.open() as stream:
        rows = [
            r for r in csv.DictReader(stream) if (r["model"], r["region"]) == ("teacher", "fov")
        ]
    names = [r["id"] for r in sorted(rows, key=lambda r: -float(r["f1"]))]
    return {"best": names[0], "median": names[len(names) // 2], "worst": names[-1]}


def _artifacts(store: Path, record: dict[str, Any]) -> list[Path]:
    steps = {(step["kind"], step["digest"]): None for step in record["steps"]}
    return [store.joinpath(*where) for where in steps]


def labelled(folder: Path, split: str) -> Image.Image:
    """Samples above their soft labels, side by side."""
    items = json.loads((folder / "index.json").read_text())["items"]
    columns = []
    for item in [i for i in items if i["split"] == split][:SHOWN]:
        pair = [Image.open(folder / item[k]).convert("RGB") for k in ("image", "soft")]
        columns.append(np.vstack([np.asarray(picture) for picture in pair]))
    return Image.fromarray(np.hstack(columns)) if columns else Image.new("RGB", (0, 0))


def table(metrics: dict[str, Any]) -> str:
    """Markdown: one row per model and region, pooled, with the per-image mean F1."""
    head = ["model", "region", *METRICS, "clDice, mean", "F1 per image [95 %]"]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    rows = metrics["models"] | {f"observer {k}": v for k, v in metrics["observers"].items()}
    for region in ("fov", "whole"):
        for name, found in rows.items():
            pooled, mean = found[region]["pooled"], found[region]["mean"]
            cells = [f"{pooled[m]:.4f}" if pooled[m] is not None else "" for m in METRICS]
            interval = "{:.4f} [{:.4f}, {:.4f}]".format(*mean["f1"])
            cells += [f"{mean['cldice'][0]:.4f}", interval]
            lines.append(f"| {name} | {region} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    collect(Path(sys.argv[1]), Path(sys.argv[2]))
