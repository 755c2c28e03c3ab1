"""Confidence and weights of labels, as functions of the teacher's map."""

from __future__ import annotations

import numpy as np
import pytest

from vesselforge.segmenter.labels.labeller import certainty, expected_dice

RNG = np.random.default_rng(0)


def test_confidence_is_the_expected_dice_of_a_calibrated_teacher() -> None:
    prob = RNG.beta(0.2, 0.6, (400, 400))
    mask = prob >= 0.4
    dices = []
    for _ in range(20):
        truth = RNG.random(prob.shape) < prob
        dices.append(2 * (truth & mask).sum() / (truth.sum() + mask.sum()))
    assert expected_dice(prob, mask) == pytest.approx(np.mean(dices), abs=2e-3)
    assert expected_dice(prob * 0, prob > 2) == 0.0


def test_weights_of_pixels() -> None:
    prob = np.array([[0, 1, 0.5, 0.25, 0.75, 0.11]], np.float32)
    expected = [1, 1, 0, 0.188722, 0.188722, 0.500084]  # 1 − H(p) in bits
    np.testing.assert_allclose(certainty(prob)[0], expected, atol=1e-5)
