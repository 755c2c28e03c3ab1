"""Tables of docs/results/segmenters.md: collect_segmenters.py SCORES... (Markdown to stdout).

SCORES are files of `vesselforge segmenter evaluate MODEL drive … --json > SCORES`; a file's stem
names the model.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PIXELS = {"F1": "f1", "AUC": "auc", "AP": "ap", "SE": "se", "SP": "sp", "ACC": "acc", "MCC": "mcc"}
SHAPE = {"F1 ±1 px": "f1_1px", "SE ≤3 px": "se_thin", "SE ≥4 px": "se_4px"}
COUNTS = {"components": "components", "loops": "loops"}


def main(files: list[Path]) -> None:
    """Print one table of pixels for every dataset, and one of shapes."""
    found = {file.stem: json.loads(file.read_text()) for file in files}
    for dataset in dict.fromkeys(name for scores in found.values() for name in scores):
        lines = [
            (f"{model}{suffix}", scores)
            for model, datasets in found.items()
            if dataset in datasets
            for suffix, scores in observers(datasets[dataset])
        ]
        images = next(d[dataset]["images"] for d in found.values() if dataset in d)
        print(f"\n### {dataset}, {images} images\n")
        for region in ("fov", "whole"):
            print(f"\n{region}\n")
            table(["model", *PIXELS, "F1 per image [95 %]"], pixel_rows(lines, region))
        table(["model", "clDice", *SHAPE, *COUNTS, "ECE", "Brier"], shape_rows(lines))


def observers(metrics: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A model against the reference, then against further observers."""
    for scores in metrics["models"].values():
        yield "", scores
        for observer, against in scores.get("against", {}).items():
            yield f" against {observer}", against


def pixel_rows(lines: list[tuple[str, dict[str, Any]]], region: str) -> Iterator[list[str]]:
    for name, scores in lines:
        pooled, (mean, low, high) = scores[region]["pooled"], scores[region]["mean"]["f1"]
        figures = [f"{pooled[key]:.4f}" for key in PIXELS.values()]
        yield [name, *figures, f"{mean:.4f} [{low:.4f}, {high:.4f}]"]


def shape_rows(lines: list[tuple[str, dict[str, Any]]]) -> Iterator[list[str]]:
    """Means over images inside the field of view; calibration pooled."""
    for name, scores in lines:
        mean, pooled = scores["fov"]["mean"], scores["fov"]["pooled"]
        counts = [f"{mean[k][0]:.0f} ({mean[k + '_reference'][0]:.0f})" for k in COUNTS.values()]
        shape = [f"{mean[key][0]:.4f}" for key in ("cldice", *SHAPE.values())]
        yield [name, *shape, *counts, f"{pooled['ece']:.4f}", f"{pooled['brier']:.4f}"]


def table(head: list[str], rows: Iterator[list[str]]) -> None:
    print(f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", sep="\n")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
