"""What a training keeps count of: figures to report, signs for ADA, whether a loss went wrong."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

FIGURES = (
    "loss_g", "loss_d", "scores_real", "scores_fake", "path_penalty", "path_length", "r1_penalty",
)  # fmt: skip
"""What a training reports, as means since the last report."""
SCORES = ("scores_real", "scores_fake")
LIMIT = 1000.0
"""Mean score of the discriminator, beyond which a training does not come back: healthy ones stay
within some tens; at lr 1 ours reached 900,000 in ten steps, all of it finite."""
SIGNS = "signs"
"""Σ sign(D(real)), the statistic that steers p."""


class RunningSums:
    """Sums on the device of the training: nothing here waits for an accelerator but reading."""

    def __init__(self, device: torch.device) -> None:
        # Σ and count of every figure since the last report; in the last row of the signs since p
        # was adjusted.
        self.table = torch.zeros(len(FIGURES) + 1, 2, dtype=torch.float64, device=device)
        # Whether a mean was not finite; whether scores were beyond LIMIT.
        self.wrong = torch.zeros(2, dtype=torch.bool, device=device)

    def collect(self, names: tuple[str, ...], table: Tensor) -> None:
        """Take in a phase: `table` `[names, 2]` holds Σ and count of every statistic."""
        means = table[:, 0] / table[:, 1]
        self.wrong[0] |= ~means.isfinite().all()
        for name, total, mean in zip(names, table, means, strict=True):
            if name in SCORES:
                self.wrong[1] |= mean.abs() > LIMIT
            if name == SIGNS:
                self.table[-1] += total
            elif name in FIGURES:
                self.table[FIGURES.index(name)] += torch.stack([mean, torch.ones_like(mean)])

    def mean_sign(self) -> float:
        """Return the mean of sign(D(real)) since the last call; a step at least lies between."""
        total, count = self.table[-1].tolist()
        self.table[-1] = 0
        return float(total / count)

    def report(self) -> dict[str, float]:
        """Return the mean of every figure since the last call."""
        rows = zip(FIGURES, self.table[:-1].tolist(), strict=True)
        self.table[:-1] = 0
        return {name: value / count for name, (value, count) in rows if count}


def totals(stats: Mapping[str, Tensor]) -> tuple[tuple[str, ...], Tensor]:
    """Return (names, table) for `RunningSums.collect` of one process's per-image statistics."""
    values = {name: v.double() for name, v in stats.items()}
    if "scores_real" in values:
        values[SIGNS] = values["scores_real"].sign()
    rows = [torch.stack([v.sum(), torch.full_like(v.sum(), v.numel())]) for v in values.values()]
    return tuple(values), torch.stack(rows)
