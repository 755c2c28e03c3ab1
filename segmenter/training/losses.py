"""Training losses on logits; targets are probabilities in [0, 1] (hard labels are 0 or 1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
DICE_SMOOTH = 1.0
"""One pixel: keeps the ratio defined on crops without a vessel."""


def bce(logits: Tensor, target: Tensor) -> Tensor:
    """Mean binary cross-entropy over all pixels (SA-UNet, section III)."""
    return F.binary_cross_entropy_with_logits(logits, target)


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 − soft Dice = 1 − 2Σpy / (Σp + Σy), sums over the whole batch; in [0, 1]."""
    prob = torch.sigmoid(logits)
    overlap = 2 * (prob * target).sum() + DICE_SMOOTH
    return 1 - overlap / (prob.sum() + target.sum() + DICE_SMOOTH)


def bce_dice(logits: Tensor, target: Tensor) -> Tensor:
    """The average of cross-entropy and Dice loss (the Dice coefficient subtracted, not added)."""
    return 0.5 * bce(logits, target) + 0.5 * dice_loss(logits, target)


LOSSES: dict[str, Loss] = {"bce": bce, "bce-dice": bce_dice}
