"""Centre lines, slack, calibres, components and loops against loops over pixels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from metric_helpers import score
from skimage.measure import euler_number
from skimage.morphology import skeletonize

from vesselforge.data.structure import betti_numbers, widened
from vesselforge.segmenter.metrics.topology import local_diameters

Pixels = set[tuple[int, int]]
SIDE = 9
MASKS = arrays(np.bool_, (SIDE, SIDE))
ROUND = list(itertools.product((-1, 0, 1), (-1, 0, 1)))
CROSS = [(0, 1), (1, 0), (0, -1), (-1, 0)]


def pixels(mask: np.ndarray) -> Pixels:
    return {(int(i), int(j)) for i, j in zip(*np.nonzero(mask), strict=True)}


def pieces(of: Pixels, steps: list[tuple[int, int]]) -> int:
    """Connected components by flood filling."""
    left, count = set(of), 0
    while left:
        count += 1
        waiting = [left.pop()]
        while waiting:
            i, j = waiting.pop()
            for di, dj in steps:
                if (i + di, j + dj) in left:
                    left.remove((i + di, j + dj))
                    waiting.append((i + di, j + dj))
    return count


@settings(max_examples=60, deadline=None)
@given(mask=MASKS)
def test_betti_numbers_equal_flood_filling_and_the_euler_number(mask: np.ndarray) -> None:
    frame = set(itertools.product(range(-1, SIDE + 1), range(-1, SIDE + 1)))
    components, loops = betti_numbers(mask)
    assert components == pieces(pixels(mask), ROUND)
    assert loops == pieces(frame - pixels(mask), CROSS) - 1
    assert components - loops == euler_number(mask, connectivity=2)


def test_betti_errors_of_a_ring_that_was_broken() -> None:
    ring = np.zeros((12, 12), dtype=bool)
    ring[2:9, 2:9] = True
    ring[4:7, 4:7] = False
    broken = ring.copy()
    broken[4:6, 2:4] = False
    broken[10, 10] = True  # diagonal neighbours would join: this one is apart
    found = score(broken.astype(float), ring)
    assert (found["components"], found["loops"]) == (2, 0)
    assert (found["components_reference"], found["loops_reference"]) == (1, 1)
    assert (found["betti0_error"], found["betti1_error"]) == (1, 1)


def near(pixel: tuple[int, int], others: Pixels) -> bool:
    return any((pixel[0] + i, pixel[1] + j) in others for i, j in ROUND)


def both(precision: list[bool], sensitivity: list[bool]) -> float:
    """Harmonic mean of two shares, as F1 has it."""
    if not precision and not sensitivity:
        return math.nan
    p = sum(precision) / len(precision) if precision else 0.0
    s = sum(sensitivity) / len(sensitivity) if sensitivity else 0.0
    return 2 * p * s / (p + s) if p + s else 0.0


@settings(max_examples=60, deadline=None)
@given(predicted=MASKS, reference=MASKS)
def test_slack_and_centre_lines_equal_loops(predicted: np.ndarray, reference: np.ndarray) -> None:
    p, r = pixels(predicted), pixels(reference)
    found = score(predicted.astype(float), reference)
    expected = both([near(x, r) for x in p], [near(x, p) for x in r])
    assert found["f1_1px"] == pytest.approx(expected, nan_ok=True)
    lines_p, lines_r = pixels(skeletonize(predicted)), pixels(skeletonize(reference))
    expected = both([x in r for x in lines_p], [x in p for x in lines_r])
    assert found["cldice"] == pytest.approx(expected, nan_ok=True)
    assert pixels(widened(predicted)) == {
        x for x in itertools.product(range(SIDE), range(SIDE)) if near(x, p)
    }


def test_cl_dice_of_a_line_with_a_gap() -> None:
    line = np.zeros((21, 41), dtype=bool)
    line[10, 5:35] = True
    broken = line.copy()
    broken[10, 15:21] = False
    assert score(line, line)["cldice"] == 1.0
    sensitivity = 24 / 30
    expected = pytest.approx(2 * sensitivity / (1 + sensitivity))
    assert score(broken, line)["cldice"] == expected


@settings(max_examples=60, deadline=None)
@given(mask=MASKS)
def test_local_diameters_equal_a_search_over_all_pixels(mask: np.ndarray) -> None:
    lines = pixels(skeletonize(mask))
    ground = pixels(~mask)
    found = local_diameters(mask, skeletonize(mask))
    assert len(found) == mask.sum()
    if not ground:
        assert np.isinf(found).all()
        return
    for pixel, diameter in zip(np.argwhere(mask).tolist(), found, strict=True):
        distances = {line: math.dist(pixel, line) for line in lines}
        closest = [line for line, d in distances.items() if d == min(distances.values())]
        widths = [2 * min(math.dist(line, g) for g in ground) - 1 for line in closest]
        assert any(diameter == pytest.approx(width) for width in widths)  # which of a tie is free


def test_sensitivity_by_calibre_of_straight_vessels() -> None:
    reference = np.zeros((40, 60), dtype=bool)
    starts, row = {}, 2
    for width in (1, 2, 3, 4, 5, 7):
        reference[row : row + width, 2:58] = True
        starts[width], row = row, row + width + 3
    found = {width: np.zeros((40, 60)) for width in starts}
    for width, start in starts.items():
        found[width][start : start + width] = 1
    bands = {1: "se_1px", 2: "se_1px", 3: "se_2_3px", 4: "se_2_3px", 5: "se_4px", 7: "se_4px"}
    for width, band in bands.items():
        scores = score(found[width], reference)
        for name in ("se_1px", "se_2_3px", "se_4px"):
            # The ends of a thick vessel are as thin as their corners; its length is not.
            assert (scores[name] > 0.3) == (name == band), (width, name, scores[name])
    all_found = score(reference.astype(float), reference)
    assert all_found["se_1px"] == all_found["se_2_3px"] == all_found["se_4px"] == 1.0


@settings(max_examples=40, deadline=None)
@given(predicted=MASKS, reference=MASKS)
def test_sensitivity_of_bands_equals_loops(predicted: np.ndarray, reference: np.ndarray) -> None:
    widths = local_diameters(reference, skeletonize(reference))
    where = np.argwhere(reference).tolist()
    bands = {"se_1px": (0, 1), "se_2_3px": (1, 3), "se_4px": (3, math.inf), "se_thin": (0, 3)}
    found = score(predicted.astype(float), reference)
    for name, (above, most) in bands.items():
        hits = [
            bool(predicted[i, j])
            for (i, j), width in zip(where, widths, strict=True)
            if above < width <= most
        ]
        expected = sum(hits) / len(hits) if hits else math.nan
        assert found[name] == pytest.approx(expected, nan_ok=True)
