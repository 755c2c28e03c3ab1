"""Confidence, uncertainty and weights of labels, as functions of the teachers' maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vesselforge.engine.artifacts import Artifact
from vesselforge.segmenter.labels.teachers import (
    agreement,
    certainty,
    expected_dice,
    teacher_names,
    uncertainty,
)

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


def test_background_does_not_dilute_uncertainty() -> None:
    prob = RNG.random((20, 20)).astype(np.float32)
    sd = RNG.random((20, 20)).astype(np.float32) / 2
    fov = np.ones((20, 20), bool)
    found = uncertainty(prob, sd, fov)
    assert found == pytest.approx(sd.sum() / prob.sum())
    wide = [np.pad(one, ((0, 0), (0, 100))) for one in (prob, sd)]
    assert uncertainty(*wide, np.ones((20, 120), bool)) == pytest.approx(found)
    fov[:, :10] = False
    assert uncertainty(prob, sd, fov) == pytest.approx(sd[:, 10:].sum() / prob[:, 10:].sum())
    assert uncertainty(0 * prob, 0 * sd, fov) == 0


def test_weights_of_pixels() -> None:
    prob = np.array([[0, 1, 0.5, 0.25, 0.75, 0.11]], np.float32)
    expected = [1, 1, 0, 0.188722, 0.188722, 0.500084]  # 1 − H(p) in bits
    np.testing.assert_allclose(certainty(prob)[0], expected, atol=1e-5)
    sd = np.array([[0, 0.5, 0.25, 0.50001]], np.float32)
    np.testing.assert_allclose(agreement(sd)[0], [1, 0, 0.5, 0], atol=1e-6)


def test_teachers_are_asked_in_the_order_of_their_numbers() -> None:
    some = Artifact(Path(), {})
    names = ["teacher-10", "samples", "teacher-2", "teacher", "teacher-3", "images"]
    found = teacher_names(dict.fromkeys(names, some))
    assert found == ["teacher", "teacher-2", "teacher-3", "teacher-10"]
