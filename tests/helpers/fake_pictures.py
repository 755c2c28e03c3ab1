"""Made-up fundi, predictions on them, and the scores that follow from counting pixels."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

METRICS = ("f1", "se", "sp", "acc", "precision", "iou", "mcc", "auc", "ap", "cldice")
SIZE = 96


def counts_of(guess: np.ndarray, truth: np.ndarray) -> list[int]:
    pairs = ((guess, truth), (guess, ~truth), (~guess, truth), (~guess, ~truth))
    return [int((a & b).sum()) for a, b in pairs]


def figures_of(counts: Any) -> dict[str, float | None]:
    tp, fp, fn, tn = map(float, counts)
    below = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    found = {
        "f1": 2 * tp / (2 * tp + fp + fn),
        "se": tp / (tp + fn),
        "sp": tn / (tn + fp),
        "acc": (tp + tn) / (tp + fp + fn + tn),
        "precision": tp / (tp + fp),
        "iou": tp / (tp + fp + fn),
        "mcc": (tp * tn - fp * fn) / below,
        "auc": 0.9 + 0.1 * tp / (tp + fn),
        "ap": 0.9 * tp / (tp + fp),
    }
    return {name: round(value, 6) for name, value in found.items()} | {"cldice": None}


def interval_of(values: list[float | None]) -> list[float | None]:
    known = [v for v in values if v is not None]
    if not known:
        return [None, None, None]
    half = 1.96 * float(np.std(known)) / len(known) ** 0.5
    mean = float(np.mean(known))
    return [round(v, 6) for v in (mean, mean - half, mean + half)]


def predicted(truth: np.ndarray, skill: float, seed: int) -> np.ndarray:
    """A mask that finds about `skill` of the vessel pixels and adds some false alarms."""
    rng = np.random.default_rng(seed)
    hit = truth.astype(bool) & (rng.random(truth.shape) < skill)
    return (hit | (disc() & (rng.random(truth.shape) < 0.16 * (1 - skill)))).astype(np.uint8)


@cache
def disc() -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + 0.5
    return np.hypot(y, x) < SIZE * 0.47


@cache
def fundus(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A crude fundus [S, S, 3] and its vessel mask [S, S] of zeros and ones."""
    rng = np.random.default_rng(seed)
    canvas = Image.new("L", (SIZE, SIZE))
    pen = ImageDraw.Draw(canvas)
    for _ in range(9):
        point, angle = np.array([SIZE * 0.3, SIZE * 0.5]), rng.uniform(0, 2 * np.pi)
        for step in range(24):
            angle += rng.normal(0, 0.25)
            ahead = point + 4 * np.array([np.cos(angle), np.sin(angle)])
            pen.line([*point, *ahead], fill=1, width=max(1, 3 - step // 8))
            point = ahead
    mask = np.asarray(canvas) * disc()
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    base = np.stack([190 + 40 * x, 95 + 20 * y, 55 + 0 * x], axis=2) + rng.normal(
        0, 4, (SIZE, SIZE, 3)
    )
    base = base * (1 - 0.35 * mask[..., None]) * disc()[..., None]
    return base.clip(0, 255).astype(np.uint8), mask.astype(np.uint8)


@cache
def sheet(seed: int, count: int) -> np.ndarray:
    """A contact sheet of fundi, 7 or fewer a row."""
    images = [fundus(seed + i)[0] for i in range(count)]
    width = min(7, count)
    return np.vstack([np.hstack(images[i : i + width]) for i in range(0, count, width)])


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()
