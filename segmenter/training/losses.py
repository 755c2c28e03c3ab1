"""Training losses on logits; targets are probabilities in [0, 1] (hard labels are 0 or 1).

Logits, targets and weights are [N, 1, H, W]; everything is computed in float32. A weight in [0, 1]
says how much a pixel's label is trusted: means become weighted means, sums weighted sums, so a
label of weight 0 has no influence whatever it is. Weights of 1 give the value without weights,
weights of 0 everywhere a loss that is finite and has no gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vesselforge.configs.choices import LOSSES

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]
DICE_SMOOTH = 1.0
"""One pixel: keeps the ratio defined on crops without a vessel."""
TINY = 1e-12
"""Keeps ratios and roots of sums defined where no pixel has a weight."""


def bce(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy over all pixels (SA-UNet, section III); Σwℓ / Σw."""
    if weight is None:
        return F.binary_cross_entropy_with_logits(logits, target)
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (weight * each).mean() / weight.mean().clamp(min=TINY)


def dice_loss(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """1 − soft Dice = 1 − 2Σpy / (Σp + Σy), sums over the whole batch; in [0, 1]."""
    prob = torch.sigmoid(logits)
    overlap = 2 * _weighed(prob * target, weight).sum() + DICE_SMOOTH
    return 1 - overlap / (
        _weighed(prob, weight).sum() + _weighed(target, weight).sum() + DICE_SMOOTH
    )


def bce_dice(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """The average of cross-entropy and Dice loss (the Dice coefficient subtracted, not added)."""
    return 0.5 * bce(logits, target, weight) + 0.5 * dice_loss(logits, target, weight)


def soft_mcc(prob: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Matthews correlation of probabilities, in [−1, 1]; sums over the whole batch (SA-UNetv2).

    The root is taken of each factor: their product, some 10²³, would overflow float16. 0, with a
    gradient that is a number, where one of them is 0 (a batch without a vessel).
    """
    tp, fn = _weighed(prob * target, weight).sum(), _weighed((1 - prob) * target, weight).sum()
    fp = _weighed(prob * (1 - target), weight).sum()
    tn = _weighed((1 - prob) * (1 - target), weight).sum()
    below = torch.ones_like(tp)
    for factor in (tp + fp, tp + fn, tn + fp, tn + fn):
        below = below * factor.clamp(min=TINY).sqrt()
    return (tp * tn - fp * fn) / (below + 1e-7)


def bce_mcc(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """0.5·BCE + 0.5·(1 − MCC) (SA-UNetv2)."""
    correlation = soft_mcc(torch.sigmoid(logits), target, weight)
    return 0.5 * bce(logits, target, weight) + 0.5 * (1 - correlation)


def structure(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Weighted BCE + weighted IoU, a mean over images (U-Net v2, as its authors meant it).

    The emphasis 1 + 5·|mean of the 31×31 neighbourhood − y| is highest at borders and thin
    vessels; neighbours count as what they are labelled so far as they are trusted, else as like
    the pixel itself. It is multiplied by the pixel's own weight.
    """
    around = _mean_around(_weighed(target, weight))
    if weight is not None:
        around = around + target * _mean_around(1 - weight)
    emphasis = _weighed(1 + 5 * (around - target).abs(), weight)
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    sums = (-3, -2, -1)
    cross_entropy = (emphasis * each).sum(sums) / emphasis.sum(sums).clamp(min=TINY)
    prob = torch.sigmoid(logits)
    overlap = (emphasis * prob * target).sum(sums)
    union = (emphasis * (prob + target)).sum(sums) - overlap
    return (cross_entropy + 1 - (overlap + 1) / (union + 1)).mean()


def balanced_bce_dice(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """SA2-Net's loss of one output: 0.5·D + 0.5·W.

    D: squared Dice of each image with both maps halved; W: the average of the mean cross-entropy
    over vessel pixels of the batch and of that over the others.
    """
    prob, sums = torch.sigmoid(logits), (-3, -2, -1)
    overlap = 2 * _weighed(0.25 * prob * target, weight).sum(sums) + 1e-5
    of_prob, of_target = (_weighed(x.square(), weight).sum(sums) for x in (prob, target))
    squares = 0.25 * (of_prob + of_target) + 1e-5
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    vessels, others = _weighed(target, weight), _weighed(1 - target, weight)
    vessel = (each * vessels).sum() / (vessels.sum() + TINY)
    other = (each * others).sum() / (others.sum() + TINY)
    return 0.5 * (1 - overlap / squares).mean() + 0.5 * (0.5 * vessel + 0.5 * other)


def _weighed(x: Tensor, weight: Tensor | None) -> Tensor:
    return x if weight is None else x * weight


def _mean_around(x: Tensor) -> Tensor:
    """The mean of each pixel's 31×31 neighbourhood; outside the image: zeros, counted."""
    return F.avg_pool2d(x, 31, stride=1, padding=15)


def training_loss(
    outputs: list[Tensor],
    target: Tensor,
    name: str,
    heads: list[float],
    weight: Tensor | None = None,
) -> Tensor:
    """Σ headᵢ·loss(outputᵢ): deep supervision over the heads, finest first.

    heads: the weight of each head's loss. weight [N, 1, H, W] of the pixels, in [0, 1]; None: all
    1.
    """
    loss: Loss = LOSSES[name].load()
    target, total = target.float(), torch.zeros((), device=target.device)
    for logits, share in zip(outputs, heads, strict=True):
        total = total + share * loss(logits.float(), target, weight)
    return total
