"""Training losses on logits; targets are probabilities in [0, 1] (hard labels are 0 or 1).

Logits and targets are [N, 1, H, W]; everything is computed in float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
DICE_SMOOTH = 1.0
"""One pixel: keeps the ratio defined on crops without a vessel."""
SKELETON_STEPS = 6
"""Erosions of the soft skeleton: enough for vessels of 12 pixels, DRIVE's widest."""


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


def soft_mcc(prob: Tensor, target: Tensor) -> Tensor:
    """Matthews correlation of probabilities, in [−1, 1]; sums over the whole batch (SA-UNetv2).

    The root is taken of each factor: their product, some 10²³, would overflow float16.
    """
    tp, fn = (prob * target).sum(), ((1 - prob) * target).sum()
    fp, tn = (prob * (1 - target)).sum(), ((1 - prob) * (1 - target)).sum()
    below = (tp + fp).sqrt() * (tp + fn).sqrt() * (tn + fp).sqrt() * (tn + fn).sqrt()
    return (tp * tn - fp * fn) / (below + 1e-7)


def bce_mcc(logits: Tensor, target: Tensor) -> Tensor:
    """0.5·BCE + 0.5·(1 − MCC) (SA-UNetv2)."""
    return 0.5 * bce(logits, target) + 0.5 * (1 - soft_mcc(torch.sigmoid(logits), target))


def structure(logits: Tensor, target: Tensor) -> Tensor:
    """Weighted BCE + weighted IoU, a mean over images (U-Net v2, as its authors meant it).

    The weight 1 + 5·|mean of the 31×31 neighbourhood − y| is highest at borders and thin vessels.
    """
    around = F.avg_pool2d(target, 31, stride=1, padding=15)  # outside the image: zeros, counted
    weight = 1 + 5 * (around - target).abs()
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    sums = (-3, -2, -1)
    cross_entropy = (weight * each).sum(sums) / weight.sum(sums)
    prob = torch.sigmoid(logits)
    overlap = (weight * prob * target).sum(sums)
    union = (weight * (prob + target)).sum(sums) - overlap
    return (cross_entropy + 1 - (overlap + 1) / (union + 1)).mean()


def balanced_bce_dice(logits: Tensor, target: Tensor) -> Tensor:
    """SA2-Net's loss of one output: 0.5·D + 0.5·W.

    D: squared Dice of each image with both maps halved; W: the average of the mean cross-entropy
    over vessel pixels of the batch and of that over the others.
    """
    prob, sums = torch.sigmoid(logits), (-3, -2, -1)
    overlap = 2 * (0.25 * prob * target).sum(sums) + 1e-5
    squares = 0.25 * (prob.square().sum(sums) + target.square().sum(sums)) + 1e-5
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    vessel = (each * target).sum() / (target.sum() + 1e-12)
    other = (each * (1 - target)).sum() / ((1 - target).sum() + 1e-12)
    return 0.5 * (1 - overlap / squares).mean() + 0.5 * (0.5 * vessel + 0.5 * other)


def soft_skeleton(x: Tensor) -> Tensor:
    """What openings of growing size remove from a map in [0, 1] (Shit et al. 2021, algorithm 1)."""
    skeleton = F.relu(x - _opened(x))
    for _ in range(SKELETON_STEPS):
        x = _eroded(x)
        rest = F.relu(x - _opened(x))
        skeleton = skeleton + F.relu(rest - skeleton * rest)
    return skeleton


def cldice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 − soft clDice: each skeleton must lie in the other map; in [0, 1], over the whole batch."""
    prob = torch.sigmoid(logits)
    ours, theirs = soft_skeleton(prob), soft_skeleton(target)
    precision = ((ours * target).sum() + 1) / (ours.sum() + 1)
    sensitivity = ((theirs * prob).sum() + 1) / (theirs.sum() + 1)
    return 1 - 2 * precision * sensitivity / (precision + sensitivity)


def _eroded(x: Tensor) -> Tensor:
    """The least of each pixel's cross of five."""
    rows = -F.max_pool2d(-x, (3, 1), stride=1, padding=(1, 0))
    columns = -F.max_pool2d(-x, (1, 3), stride=1, padding=(0, 1))
    return torch.minimum(rows, columns)


def _opened(x: Tensor) -> Tensor:
    return F.max_pool2d(_eroded(x), 3, stride=1, padding=1)


LOSSES: dict[str, Loss] = {
    "bce": bce,
    "bce-dice": bce_dice,
    "bce-mcc": bce_mcc,
    "structure": structure,
    "balanced-bce-dice": balanced_bce_dice,
}


def training_loss(
    outputs: list[Tensor], target: Tensor, name: str, weights: list[float], cldice: float
) -> Tensor:
    """Σ wᵢ·loss(outputᵢ): deep supervision over the heads, finest first.

    cldice: share of clDice's loss in each head's. Heads beyond the weights do not count.
    """
    target, total = target.float(), torch.zeros((), device=target.device)
    for logits, weight in zip(outputs, weights, strict=False):
        loss = LOSSES[name](logits.float(), target)
        if cldice:
            loss = (1 - cldice) * loss + cldice * cldice_loss(logits.float(), target)
        total = total + weight * loss
    return total
