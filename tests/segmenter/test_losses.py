"""Losses against golden values and formulas written out."""

from __future__ import annotations

import math

import pytest
import torch

from vesselforge.segmenter.training.losses import (
    balanced_bce_dice,
    bce,
    bce_dice,
    bce_mcc,
    dice_loss,
    soft_mcc,
    structure,
    training_loss,
)

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


def test_mcc_loss_equals_the_golden_values() -> None:
    assert soft_mcc(P, Y).item() == pytest.approx(0.650814, abs=1e-6)
    assert bce_mcc(LOGITS, Y).item() == pytest.approx(0.273410, abs=1e-6)


def test_mcc_does_not_overflow_on_a_batch_of_large_images() -> None:
    logits = torch.zeros(8, 1, 592, 592, requires_grad=True)
    target = torch.zeros(8, 1, 592, 592)
    target[..., :50] = 1
    loss = bce_mcc(logits, target)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


def test_balanced_loss_equals_the_golden_values() -> None:
    dice = 1 - (2 * 0.25 * 1.7 + 1e-5) / (0.25 * (0.81 + 0.64 + 0.09 + 0.01) + 0.25 * 2 + 1e-5)
    assert dice == pytest.approx(0.042253, abs=1e-6)
    assert balanced_bce_dice(LOGITS, Y).item() == pytest.approx(0.119944, abs=1e-6)


def test_structure_loss_is_its_formula() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 1, 12, 9), (torch.rand(2, 1, 12, 9) < 0.2).float()
    expected = 0.0
    for image in range(2):
        y, p = target[image, 0].tolist(), torch.sigmoid(logits[image, 0]).tolist()
        total = sum(map(sum, y))  # a 31×31 window round any pixel holds all of a 12×9 image
        above = below = overlap = both = 0.0
        for row_y, row_p in zip(y, p, strict=True):
            for t, q in zip(row_y, row_p, strict=True):
                w = 1 + 5 * abs(total / 31**2 - t)
                above -= w * (t * math.log(q) + (1 - t) * math.log(1 - q))
                below += w
                overlap += w * q * t
                both += w * (q + t)
        expected += (above / below + 1 - (overlap + 1) / (both - overlap + 1)) / 2
    assert structure(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_deep_supervision_is_the_weighted_sum() -> None:
    other = torch.full_like(LOGITS, 0.3)
    total = training_loss([LOGITS, other], Y, "bce", [1.0, 0.5])
    assert total.item() == pytest.approx(bce(LOGITS, Y).item() + 0.5 * bce(other, Y).item())
