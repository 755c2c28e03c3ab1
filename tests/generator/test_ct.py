"""C_T: planted copies, fresh draws and strangers; the same by image and within cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from vesselforge.generator.metrics.ct import c_t, c_t_by_image, c_t_of_cells, cells_of, copying
from vesselforge.generator.metrics.memorisation import Matches, matches

TRAINING, VIEWS, IMAGES = 150, 150, 6


def draws(rng: np.random.Generator, count: int, shift: float = 0.0) -> torch.Tensor:
    """Features `[count, 8]` of one distribution."""
    return torch.from_numpy(rng.normal(size=(count, 8)) + shift)


def outcome(samples: torch.Tensor, rng: np.random.Generator, training: torch.Tensor):
    held_out = matches(draws(rng, VIEWS)[:, None], training)
    images = [i % IMAGES for i in range(VIEWS)]
    return copying(matches(samples[:, None], training), held_out, images, training)


def test_training_views_are_copies():
    rng = np.random.default_rng(0)
    training = draws(rng, TRAINING)
    found = outcome(training[:130] + 0.01 * draws(rng, 130), rng, training)
    extreme = -((3 * 130 * VIEWS / (130 + VIEWS + 1)) ** 0.5)
    assert found.c_t == pytest.approx(extreme), "every pair says the same"
    assert found.p < 1e-12
    assert found.cells is not None
    assert found.cells < -3
    assert found.by_image == pytest.approx(-((3 * 130 * IMAGES / (130 + IMAGES + 1)) ** 0.5))
    assert found.by_image_p < 1e-3
    assert found.relative_distance is not None
    assert found.relative_distance < 0.05


def test_strangers_are_far():
    rng = np.random.default_rng(1)
    training = draws(rng, TRAINING)
    found = outcome(draws(rng, 80, shift=3), rng, training)
    assert found.c_t > 8
    assert found.by_image > 2
    assert found.p > 0.999
    assert found.relative_distance is not None
    assert found.relative_distance > 2


def test_fresh_draws_are_neither():
    """Over many draws: z is standard normal, p uniform, the relative distance about 1."""
    rng = np.random.default_rng(2)
    found = [outcome(draws(rng, 80), rng, draws(rng, TRAINING)) for _ in range(100)]
    scores = np.array([f.c_t for f in found])
    assert abs(scores.mean()) < 0.3
    assert scores.std() == pytest.approx(1, abs=0.2)
    assert kstest([f.p for f in found], "uniform").pvalue > 0.01
    assert np.median([f.relative_distance for f in found]) == pytest.approx(1, abs=0.03)


def test_views_that_are_alike_are_no_evidence_once_images_count():
    """Views of one image share most of their distance: the plain test cries wolf, by image not."""
    rng = np.random.default_rng(3)
    plain, careful = [], []
    images = np.repeat(np.arange(5), 30)
    for _ in range(300):
        held_out = np.repeat(rng.normal(size=5), 30) + 0.1 * rng.normal(size=150)
        samples = rng.normal(size=100) * 1.01**0.5
        plain.append(abs(c_t(samples, held_out)) > 1.96)
        careful.append(abs(c_t_by_image(samples, held_out, images.tolist())) > 1.96)
    assert np.mean(plain) > 0.4
    assert np.mean(careful) < 0.09


def test_brute_force():
    rng = np.random.default_rng(4)
    samples, held_out = rng.integers(0, 6, 9).astype(float), rng.integers(0, 6, 7).astype(float)
    pairs = np.sign(samples[:, None] - held_out) / 2 + 0.5
    deviation = (9 * 7 * 17 / 12) ** 0.5
    assert c_t(samples, held_out) == pytest.approx((pairs.sum() - 9 * 7 / 2) / deviation)
    assert c_t(samples, held_out) == pytest.approx(-c_t(held_out, samples))
    images = [0, 0, 1, 1, 1, 1, 2]
    places = [pairs[:, np.array(images) == i].mean() for i in range(3)]
    expected = (np.mean(places) - 0.5) / (13 / (12 * 9 * 3)) ** 0.5
    assert c_t_by_image(samples, held_out, images) == pytest.approx(expected)


def test_one_copied_corner_is_seen_within_cells():
    """Half of the space is copied, in the other half samples are too far: on the whole nothing."""
    rng = np.random.default_rng(5)
    near, far, new = rng.uniform(0, 1, 50), rng.uniform(2, 3, 50), rng.uniform(1, 2, 100)
    samples, cells = np.concatenate([near, far]), np.repeat([0, 1], 50)
    assert abs(c_t(samples, new)) < 0.5
    copied, counted = c_t_of_cells(near, new[:60], np.zeros(50, int), np.zeros(60, int))
    assert counted == 1
    assert copied is not None
    assert copied < -8
    both, counted = c_t_of_cells(samples, new, cells, np.repeat([0, 1], [80, 20]))
    assert counted == 2
    weighted = 0.8 * c_t(near, new[:80]) + 0.2 * c_t(far, new[80:])
    assert both == pytest.approx(weighted)
    assert c_t_of_cells(samples[:19], new, cells[:19], np.zeros(100, int)) == (None, 0)


def test_cells_are_groups_of_training_views():
    rng = np.random.default_rng(6)
    training = torch.cat([draws(rng, 40), draws(rng, 40, shift=9)])
    found = cells_of(training, 2, seed=0)
    assert len(set(found[:40])) == len(set(found[40:])) == 1
    assert found[0] != found[-1]
    assert len(np.unique(cells_of(training[:1].repeat(4, 1), 5, 0))) == 1, "4 views of one place"


def test_held_out_images_that_were_trained_on_give_no_unit():
    zeros = np.zeros(4)
    same = Matches(zeros, zeros.astype(int), zeros.astype(int))
    found = copying(same, same, [0, 0, 1, 1], torch.eye(3))
    assert found.relative_distance is None
    assert found.c_t == 0
    assert "relative_distance" not in found.figures()
    assert "c_t_cells" not in found.figures()
