"""What a training keeps count of: figures to report, signs for ADA, whether a loss went wrong."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

FIGURES = (
    "loss_g", "loss_d", "scores_real", "scores_fake", "path_penalty", "path_length", "r1_penalty",
)  # fmt: skip
"""What a training reports, as means since the last report."""
SIGNS = "signs"
"""Σ sign(D(real)), the statistic that steers p."""


class RunningSums:
    """Sums on the device of the training: nothing here waits for an accelerator but reading."""

    def __init__(self, device: torch.device) -> None:
        self.signs = torch.zeros(2, dtype=torch.float64, device=device)  # since p was adjusted
        self.sums = {name: torch.zeros_like(self.signs) for name in FIGURES}  # since the report
        self.diverged = torch.zeros([], dtype=torch.bool, device=device)  # a loss was not finite

    def collect(self, names: tuple[str, ...], table: Tensor) -> None:
        """Take in a phase: `table` `[names, 2]` holds Σ and count of every statistic."""
        for name, total in zip(names, table, strict=True):
            if name == SIGNS:
                self.signs += total
                continue
            mean = total[0] / total[1]
            self.diverged |= ~mean.isfinite()
            if name in self.sums:
                self.sums[name] += torch.stack([mean, torch.ones_like(mean)])

    def mean_sign(self) -> float | None:
        """Return the mean of sign(D(real)) since the last call, if there was any."""
        total, count = self.signs.tolist()
        self.signs.zero_()
        return total / count if count else None

    def report(self) -> dict[str, float]:
        """Return the mean of every figure since the last call."""
        found = {}
        for name, total in self.sums.items():
            value, count = total.tolist()
            if count:
                found[name] = value / count
            total.zero_()
        return found

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint needs."""
        return {f"sums.{name}": total for name, total in self.sums.items()} | {SIGNS: self.signs}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Become what `tensors()` described."""
        for name, total in self.sums.items():
            total.copy_(tensors[f"sums.{name}"])
        self.signs.copy_(tensors[SIGNS])


def totals(stats: Mapping[str, Tensor]) -> tuple[tuple[str, ...], Tensor]:
    """Return (names, table) for `RunningSums.collect` of one process's per-image statistics."""
    values = {name: v.double() for name, v in stats.items()}
    if "scores_real" in values:
        values[SIGNS] = values["scores_real"].sign()
    rows = [torch.stack([v.sum(), torch.full_like(v.sum(), v.numel())]) for v in values.values()]
    return tuple(values), torch.stack(rows)
