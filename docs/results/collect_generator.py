"""Collect what may be published of a generator: collect_generator.py SCORE_ARTIFACT TARGET.

SCORE_ARTIFACT is a finished generator.score. Generated samples, curves and figures, never an image
of the training set: those belong to their owners (a training's own reals.png and closest.png show
them).
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SETTINGS = (
    "preset", "presentation", "resolution", "channel_base", "channel_max", "latent", "batch",
    "kimg", "lr", "d_lr_ratio", "r1_gamma", "augment", "augment_pipe", "precision", "seed",
)  # fmt: skip


def collect(score: Path, target: Path) -> None:
    """Write kid.png, samples.png, snapshot.png, training.json and scores.json."""
    manifest = read(score / "manifest.json")
    store = score.parents[1]
    samples = store / "generator.sample" / manifest["inputs"]["samples"]
    generator = store / "generator.train" / read(samples / "manifest.json")["inputs"]["generator"]
    target.mkdir(parents=True, exist_ok=True)
    (target / "scores.json").write_text(text(manifest["metrics"]))
    training, description = read(generator / "manifest.json"), read(generator / "generator.json")
    facts = {
        "settings": {name: training["settings"].get(name) for name in SETTINGS},
        "seconds": training["seconds"],
        "device": training["device"],
        "versions": training["versions"],
        "training": description["training"],
        "delivered": description["delivered"],
        "snapshots": description["snapshots"],
        "metrics": training["metrics"],
    }
    (target / "training.json").write_text(text(facts))
    shutil.copyfile(samples / "grid.png", target / "samples.png")
    last = sorted(generator.glob("grid-*.png"))[-1]
    shutil.copyfile(last, target / "last-snapshot.png")
    plot(facts, target / "kid.png")


def plot(facts: dict[str, Any], path: Path) -> None:
    """KID with its error bar against kimg, above the real-against-real floor."""
    shots, metrics = facts["snapshots"], facts["metrics"]
    kimg = [shot["kimg"] for shot in shots]
    figure, axes = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    axes.errorbar(
        kimg, [shot["kid_mean"] for shot in shots], [shot["kid_std"] for shot in shots],
        marker="o", capsize=2, label="samples against real",
    )  # fmt: skip
    floor = metrics["kid_floor_mean"] + metrics["kid_floor_std"]
    lowest = min(floor, *(shot["kid_mean"] for shot in shots)) / 2
    axes.axhspan(lowest, floor, color="grey", alpha=0.3, label="real against real, mean + 1 sd")
    axes.set(xlabel="kimg", ylabel="KID (untrained VGG)", yscale="log", ylim=(lowest, None))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def text(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python docs/results/collect_generator.py SCORE_ARTIFACT TARGET_FOLDER")
    collect(Path(sys.argv[1]), Path(sys.argv[2]))
