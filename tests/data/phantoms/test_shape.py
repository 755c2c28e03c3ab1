"""Widths and curvature of drawn vessels, on shapes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from vesselforge.data.phantoms.shape import centre_lines, shape_of


@pytest.mark.parametrize("width", [1, 2, 3, 4, 7])
def test_width_of_a_bar(width: int) -> None:
    mask = np.zeros((60, 120), bool)
    mask[20 : 20 + width, 5:115] = True
    lines = centre_lines(mask)
    middle = (lines.where[:, 1] > 20) & (lines.where[:, 1] < 100)
    assert lines.width[middle] == pytest.approx(width)
    assert lines.calibre[middle] == pytest.approx(2 * np.ceil(width / 2) - 1)


@pytest.mark.parametrize("radius", [20, 40])
def test_curvature_of_a_circle(radius: int) -> None:
    y, x = np.mgrid[:120, :120] - 60
    ring = np.abs(np.hypot(y, x) - radius) < 1.5
    ring[60, 60:] = False  # a line with two ends
    found = shape_of(ring, np.ones_like(ring), 100.0)
    assert found is not None
    assert found.winding == pytest.approx(100 / radius, rel=0.2)


def test_waves_wind_more_than_a_straight_line() -> None:
    x = np.arange(180)
    straight, wavy = np.zeros((2, 60, 200), bool)
    straight[30:32, 10:190] = True
    for shift in (0, 1):
        wavy[np.rint(30 + 4 * np.sin(x / 6)).astype(int) + shift, x + 10] = True
    shapes = [shape_of(mask, np.ones_like(mask), 100.0) for mask in (straight, wavy)]
    assert shapes[0] is not None and shapes[1] is not None
    assert shapes[0].winding < 0.5
    assert shapes[1].winding > 5


def test_share_and_order_of_widths() -> None:
    mask = np.zeros((100, 200), bool)
    mask[20:22, 5:195] = True
    mask[60:68, 5:195] = True
    found = shape_of(mask, np.ones_like(mask), 50.0)
    assert found is not None
    assert found.share == pytest.approx(mask.mean())
    assert found.least == pytest.approx(2, abs=0.3)
    assert found.thin == pytest.approx(2, abs=0.1)
    assert found.wide == pytest.approx(8, abs=0.5)


def test_too_little_to_measure() -> None:
    mask = np.zeros((50, 50), bool)
    mask[10, 10:30] = True
    assert shape_of(mask, np.ones_like(mask), 25.0) is None
