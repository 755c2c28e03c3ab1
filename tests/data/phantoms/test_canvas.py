"""Tubes against brute force; noise of the promised size."""

from __future__ import annotations

import numpy as np
import pytest

from vesselforge.data.phantoms.canvas import Canvas, enlarged, network, normal


@pytest.fixture
def canvas() -> Canvas:
    return Canvas((200, 160), 70.0, np.array([100.0, 80.0]))


def test_a_tube_is_a_chain_of_balls() -> None:
    rng = np.random.default_rng(0)
    where = rng.uniform(-4, 44, (30, 2))  # some beyond the edge
    radius = rng.uniform(0.9, 4, 30)
    made = network((40, 32), where, radius, radius * 1.2)
    y, x = np.mgrid[:40, :32]
    mask, squared = np.zeros((40, 32), bool), np.zeros((40, 32))
    for (at_y, at_x), r in zip(where, radius, strict=True):
        distance = (y - at_y) ** 2 + (x - at_x) ** 2
        mask |= distance < r**2
        squared = np.maximum(squared, (1.2 * r) ** 2 - distance)
    assert np.array_equal(made.mask, mask)
    assert np.allclose(made.depth, 2 * np.sqrt(squared), atol=1e-2)


def test_light_lies_within_wide_vessels_alone() -> None:
    where = np.stack([np.full(41, 20.0), np.arange(41.0)], axis=1)
    thin, wide = (network((41, 41), where, np.full(41, r), np.full(41, r)) for r in (1.0, 5.0))
    assert not thin.light.any()
    assert wide.light[20, 20] == pytest.approx(1, abs=0.05)
    assert not wide.light[(wide.depth < 8)].any()  # 10 pixels in the middle


def test_a_thin_vessel_is_faint_not_broken() -> None:
    where = np.stack([np.linspace(3, 30, 80), np.linspace(2, 37, 80)], axis=1)
    made = network((40, 40), where, np.full(80, 0.6), np.full(80, 0.4))
    along = made.depth[tuple(np.rint(where).astype(int).T)]
    assert along.min() > 0
    assert along.max() < 0.8


def test_noise_has_unit_variance(canvas: Canvas) -> None:
    rng = np.random.default_rng(1)
    assert normal((400, 400), rng).std() == pytest.approx(1, abs=0.02)
    for cell in (1, 2, 5.3):
        fields = np.stack([canvas.noise(cell, rng) for _ in range(8)])
        assert fields.shape == (8, 200, 160)
        assert fields.std() == pytest.approx(1, abs=0.1)


def test_cells_within_a_pixel_average_out(canvas: Canvas) -> None:
    fine = canvas.coarser(4).noise(1, np.random.default_rng(2))
    assert fine.shape == (50, 40)
    assert fine.std() == pytest.approx(0.25, abs=0.02)


def test_channels_correlate_as_the_root_says(canvas: Canvas) -> None:
    root = np.array([[2.0, 0, 0], [0.5, 0.8, 0], [0, 0, 0.1]])
    planes = np.stack(list(canvas.noises(1, root, np.random.default_rng(3))))
    covariance = np.cov(planes.reshape(3, -1))
    assert np.allclose(covariance, root @ root.T, atol=0.06)


def test_a_coarse_grid_shows_the_same_places(canvas: Canvas) -> None:
    coarse = canvas.coarser(4)
    slope = np.broadcast_to(coarse.y, coarse.shape).astype(np.float32)
    large = enlarged(slope, canvas.shape, 4)
    assert np.allclose(large[8:-8], np.broadcast_to(canvas.y, canvas.shape)[8:-8], atol=1e-3)
