"""The learning rate of a step, and what a plateau on validation does to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vesselforge.configs.settings import FitSettings

PATIENCE = 10
"""Of `plateau`: validations without a lower loss until the rate is halved, as in SA-UNetv2."""


def learning_rate(settings: FitSettings, step: int, factor: float = 1.0) -> float:
    """Learning rate of a step (from 0): linear warm-up, then the schedule over all steps.

    factor: what `Plateau` has made of the rate; 1 for every schedule but plateau.
    """
    warm = min(1.0, (step + 1) / settings.warmup) if settings.warmup else 1.0
    share, shape, lowest = step / settings.steps, 1.0, 0.0
    match settings.schedule:
        case "plateau":
            return warm * max(settings.lr * factor, settings.min_lr)
        case "cosine" | "restarts":
            if settings.schedule == "restarts":
                share = step % settings.period / settings.period
            shape, lowest = 0.5 * (1 + math.cos(math.pi * share)), settings.min_lr
        case "step":  # SA-UNet: 1e-3 for 100 epochs, 1e-4 for 50
            shape = 0.1 if share >= 2 / 3 else 1.0
    return warm * (lowest + (settings.lr - lowest) * shape)


@dataclass
class Plateau:
    """How long the validation loss has not fallen: the rate is halved, training ends early."""

    lowest: float | None = None
    since: int = 0
    """Validations since the lowest loss."""
    factor: float = 1.0
    over: bool = False

    def see(self, loss: float, settings: FitSettings) -> None:
        """Take note of one validation."""
        if self.lowest is None or loss < self.lowest:
            self.lowest, self.since = loss, 0
            return
        self.since += 1
        if settings.schedule == "plateau" and self.since % PATIENCE == 0:
            self.factor *= 0.5
        self.over = self.ends(settings)

    def ends(self, settings: FitSettings) -> bool:
        """Whether the training is over, by what was seen so far."""
        return bool(settings.early_stop) and self.since >= settings.early_stop
