"""Losses against golden values and formulas written out."""

from __future__ import annotations

import pytest
import torch

from segmenter.training.losses import bce, bce_dice, dice_loss

P = torch.tensor([[[[0.9, 0.8], [0.3, 0.1]]]])
Y = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
LOGITS = torch.logit(P)


def test_bce_equals_the_golden_value() -> None:
    assert bce(LOGITS, Y).item() == pytest.approx(0.197635, abs=1e-6)


def test_dice_is_subtracted() -> None:
    overlap, total = 0.9 + 0.8, P.sum().item() + 2
    assert dice_loss(LOGITS, Y).item() == pytest.approx(1 - (2 * overlap + 1) / (total + 1))
    better = torch.logit(torch.tensor([[[[0.99, 0.99], [0.01, 0.01]]]]))
    assert bce_dice(better, Y) < bce_dice(LOGITS, Y)


def test_soft_targets_and_empty_crops_are_finite() -> None:
    soft = torch.full_like(Y, 0.3)
    for target in (soft, torch.zeros_like(Y)):
        logits = torch.zeros_like(Y, requires_grad=True)
        bce_dice(logits, target).backward()
        assert torch.isfinite(logits.grad).all()
