"""Losses with a weight for every pixel, against sums written out and by what they must ignore."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vesselforge.configs.choices import LOSSES
from vesselforge.segmenter.training.losses import (
    balanced_bce_dice,
    bce,
    bce_mcc,
    dice_loss,
    soft_mcc,
    structure,
    training_loss,
)

ALL = {name: loss.load() for name, loss in LOSSES.items()} | {"dice": dice_loss}
SHAPE = (2, 1, 12, 9)


@pytest.fixture
def made() -> tuple[Tensor, Tensor, Tensor]:
    """Logits, hard targets and weights; a quarter of the weights is 0."""
    draw = torch.Generator().manual_seed(3)
    logits = torch.randn(SHAPE, generator=draw)
    target = (torch.rand(SHAPE, generator=draw) < 0.3).float()
    return logits, target, (torch.rand(SHAPE, generator=draw) * 1.5 - 0.4).clamp(0, 1)


def pixels(*maps: Tensor) -> list[tuple[float, ...]]:
    """The values of every pixel, one tuple each."""
    return list(zip(*(one.flatten().tolist() for one in maps), strict=True))


def entropy(p: float, y: float) -> float:
    return -y * math.log(p) - (1 - y) * math.log(1 - p)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("soft", [False, True])
def test_weights_of_one_are_no_weights(
    name: str, soft: bool, made: tuple[Tensor, Tensor, Tensor]
) -> None:
    logits, target, _ = made
    target = target * 0.7 if soft else target
    assert ALL[name](logits, target, torch.ones_like(target)) == ALL[name](logits, target, None)


@pytest.mark.parametrize("name", ALL)
def test_labels_of_weight_zero_do_not_count(name: str, made: tuple[Tensor, Tensor, Tensor]) -> None:
    """Neither in the loss nor in the gradient, whatever they say."""
    logits, target, weight = made
    weight = (weight > 0).float() * weight
    wrong = torch.where(weight == 0, 1 - target, target)
    assert (wrong != target).sum() > 20
    logits.requires_grad_()
    found = []
    for labels in (target, wrong):
        loss = ALL[name](logits, labels, weight)
        found.append((loss, torch.autograd.grad(loss, logits)[0]))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-7)
    assert ALL[name](logits, target, None) != ALL[name](logits, wrong, None)


@pytest.mark.parametrize("name", ALL)
def test_weights_change_the_loss(name: str, made: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, target, weight = made
    assert ALL[name](logits, target, weight) != ALL[name](logits, target, None)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_trusted_pixel_and_no_vessel_are_finite(name: str, share: float) -> None:
    for target in (torch.zeros(SHAPE), torch.ones(SHAPE)):
        logits = torch.full(SHAPE, 0.3, requires_grad=True)
        loss = ALL[name](logits, target, torch.full(SHAPE, share))
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(logits.grad).all()
        assert share or not logits.grad.any()


def test_cross_entropy_is_the_weighted_mean(made: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, target, weight = made
    rows = pixels(logits.sigmoid(), target, weight)
    expected = sum(w * entropy(p, y) for p, y, w in rows) / sum(w for *_, w in rows)
    assert bce(logits, target, weight).item() == pytest.approx(expected, rel=1e-5)


def test_dice_is_of_weighted_sums(made: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, target, weight = made
    rows = pixels(logits.sigmoid(), target, weight)
    above = 2 * sum(w * p * y for p, y, w in rows) + 1
    below = sum(w * (p + y) for p, y, w in rows) + 1
    assert dice_loss(logits, target, weight).item() == pytest.approx(1 - above / below, rel=1e-5)


def test_mcc_is_of_weighted_counts(made: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, target, weight = made
    rows = pixels(logits.sigmoid(), target, weight)
    tp = sum(w * p * y for p, y, w in rows)
    fn = sum(w * (1 - p) * y for p, y, w in rows)
    fp = sum(w * p * (1 - y) for p, y, w in rows)
    tn = sum(w * (1 - p) * (1 - y) for p, y, w in rows)
    expected = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert soft_mcc(logits.sigmoid(), target, weight).item() == pytest.approx(expected, rel=1e-4)


def test_mcc_of_a_batch_without_a_vessel_has_a_gradient_that_is_a_number() -> None:
    logits = torch.zeros(SHAPE, requires_grad=True)
    bce_mcc(logits, torch.zeros(SHAPE)).backward()
    assert torch.isfinite(logits.grad).all()


def test_structure_trusts_neighbours_as_far_as_they_are_trusted(
    made: tuple[Tensor, Tensor, Tensor],
) -> None:
    """A 31×31 window round any pixel holds all of a 12×9 image."""
    logits, target, weight = made
    expected = 0.0
    for image in range(2):
        rows = pixels(logits[image].sigmoid(), target[image], weight[image])
        above = below = overlap = both = 0.0
        for p, y, w in rows:
            around = sum(v * z + (1 - v) * y for _, z, v in rows) / 31**2
            emphasis = w * (1 + 5 * abs(around - y))
            above += emphasis * entropy(p, y)
            below += emphasis
            overlap += emphasis * p * y
            both += emphasis * (p + y)
        expected += (above / below + 1 - (overlap + 1) / (both - overlap + 1)) / 2
    assert structure(logits, target, weight).item() == pytest.approx(expected, rel=1e-5)


def test_balanced_loss_is_of_weighted_sums(made: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, target, weight = made
    rows = pixels(logits.sigmoid(), target, weight)
    vessel = sum(w * y * entropy(p, y) for p, y, w in rows) / sum(w * y for _, y, w in rows)
    other = sum(w * (1 - y) * entropy(p, y) for p, y, w in rows)
    other /= sum(w * (1 - y) for _, y, w in rows)
    dice = 0.0
    for image in range(2):
        rows = pixels(logits[image].sigmoid(), target[image], weight[image])
        overlap = 2 * 0.25 * sum(w * p * y for p, y, w in rows) + 1e-5
        squares = 0.25 * sum(w * (p * p + y * y) for p, y, w in rows) + 1e-5
        dice += (1 - overlap / squares) / 2
    expected = 0.5 * dice + 0.25 * (vessel + other)
    found = balanced_bce_dice(logits, target, weight).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_every_head_is_weighted(made: tuple[Tensor, Tensor, Tensor]) -> None:
    logits, target, weight = made
    heads = [logits, logits * 0.5]
    found = training_loss(heads, target, "bce", [1.0, 0.5], weight)
    each = [bce(x, target, weight) for x in heads]
    assert found.item() == pytest.approx((each[0] + 0.5 * each[1]).item())
