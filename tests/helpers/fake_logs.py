"""Logs of made-up trainings."""

from __future__ import annotations

from typing import Any

import numpy as np

Log = list[dict[str, Any]]


def segmenter_log(steps: int, f1: float) -> Log:
    """A loss that falls, and validation F1 that rises towards f1."""
    rng, log = np.random.default_rng(steps), Log()
    for step in range(10, steps + 1, 10):
        loss = 0.9 * np.exp(-step / 150) + 0.35 + rng.normal(0, 0.02)
        log.append({"step": step, "loss": round(loss, 5), "lr": 2e-3 * (1 - step / steps)})
        if step % 100 == 0:
            reached = f1 - 0.25 * np.exp(-step / 120)
            figures = {"f1": round(reached, 4), "auc": 0.96, "threshold": 0.46}
            log.append({"step": step, "validation": figures})
    return log


def generator_log() -> Log:
    """Of 10 kimg, with the figures of a snapshot now and then."""
    rng, log = np.random.default_rng(1), Log()
    for step in range(16, 1250, 16):
        log.append({"step": step, "kimg": step * 8 / 1000})
        log[-1] |= {"loss_g": 1.1 + 0.3 * rng.random(), "loss_d": 1.0 + 0.2 * rng.random()}
        log[-1] |= {
            "scores_real": 0.4 + 0.2 * rng.random(),
            "scores_fake": -0.6 + 0.2 * rng.random(),
        }
        log[-1] |= {"r1_penalty": 0.02 * rng.random(), "path_penalty": 0.01 * rng.random()}
        log[-1] |= {"p": step / 12500, "r_t": 0.5 + 0.2 * rng.random()}
        if step % 128 == 0:
            log.append(_snapshot(step, rng))
    return log


def _snapshot(step: int, rng: np.random.Generator) -> dict[str, Any]:
    kid = 0.03 + 0.3 * np.exp(-step / 300) + rng.normal(0, 0.01)
    found = {"step": step, "kimg": step * 8 / 1000, "kid_mean": round(kid, 5)}
    found |= {"kid_std": 0.012, "diversity": 0.9 - 0.6 * np.exp(-step / 200)}
    return found | {"kid_floor_mean": 0.004, "kid_floor_std": 0.006} if step == 128 else found
