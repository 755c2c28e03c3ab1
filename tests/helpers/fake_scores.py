"""Scores of made-up models, counted from made-up predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from fake_files import file_name
from fake_pictures import (
    METRICS,
    SIZE,
    counts_of,
    disc,
    figures_of,
    fundus,
    interval_of,
    png,
    predicted,
)


def predictions(ids: tuple[str, ...], name: str, skill: float) -> dict[str, bytes]:
    """File → content: the overlays and probabilities of one model."""
    files = {}
    for number, id_ in enumerate(ids):
        image, truth = fundus(number + 100)
        mask = predicted(truth, skill, number).astype(bool)
        grey = (image.mean(2, keepdims=True).repeat(3, 2) * 0.6).astype(np.uint8)
        real = truth.astype(bool)
        grey[mask & real], grey[mask & ~real] = (0, 158, 115), (213, 94, 0)
        grey[~mask & real] = (86, 180, 233)
        files[f"overlays/{name}/{file_name(id_)}.png"] = png(grey)
        files[f"prob/{name}/{file_name(id_)}.png"] = png(mask.astype(np.uint8) * 200)
    return files


def scores(ids: tuple[str, ...], name: str, skill: float, rows: list[list[Any]]) -> dict[str, Any]:
    """Region → pooled scores and means of one model. rows: takes a line for each image."""
    found = {}
    for region in ("fov", "whole"):
        inside = disc() if region == "fov" else np.ones((SIZE, SIZE), bool)
        counts, each = [], []
        for number, id_ in enumerate(ids):
            truth = fundus(number + 100)[1].astype(bool)[inside]
            guess = predicted(fundus(number + 100)[1], skill, number).astype(bool)[inside]
            counts.append(counts_of(guess, truth))
            each.append(figures_of(counts[-1]))
            rows.append(
                [
                    name,
                    id_,
                    region,
                    *("" if each[-1][m] is None else each[-1][m] for m in METRICS),
                ]
            )
        pooled = figures_of(np.sum(counts, axis=0))
        found[region] = {
            "pooled": pooled,
            "mean": {m: interval_of([e[m] for e in each]) for m in METRICS},
        }
        found[region]["mean"] |= {"loops": [52.2 * skill, 40.0, 58.25], "ece": [None] * 3}
    return found
