"""Which pieces of a mask count: against a flood fill, on planted specks; how a rule is chosen."""

from __future__ import annotations

from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
from pydantic import TypeAdapter
from scipy import ndimage

from vesselforge.segmenter.components import (
    ALL,
    MARGIN,
    SIZES,
    Components,
    choose_components,
    masked,
    pieces_in,
)

READ = TypeAdapter(Components)
RNG = np.random.default_rng(0)


def smooth(shape: tuple[int, int], sd: float = 1.5) -> np.ndarray:
    """A random map in [0, 1] with pieces of all sizes."""
    field = ndimage.gaussian_filter(RNG.normal(size=shape), sd)
    return ((field - field.min()) / np.ptp(field)).astype(np.float32)


def by_flood(prob: np.ndarray, threshold: float, rule: Components, scale: float) -> np.ndarray:
    """The same by walking from pixel to pixel."""
    height, width = prob.shape
    found, seen = np.zeros(prob.shape, bool), np.zeros(prob.shape, bool)
    for start in product(range(height), range(width)):
        if seen[start] or prob[start] < threshold:
            continue
        piece, stack = [], [start]
        seen[start] = True
        while stack:
            y, x = stack.pop()
            piece.append((y, x))
            for near in product(range(max(y - 1, 0), min(y + 2, height)),
                                range(max(x - 1, 0), min(x + 2, width))):  # fmt: skip
                if not seen[near] and prob[near] >= threshold:
                    seen[near] = True
                    stack.append(near)
        cut = any(y in (0, height - 1) or x in (0, width - 1) for y, x in piece)
        large = cut or len(piece) * scale**2 >= rule.smallest
        if large and max(prob[at] for at in piece) >= rule.sure:
            found[tuple(zip(*piece, strict=True))] = True
    return found


@pytest.mark.parametrize(
    ("rule", "scale"),
    [
        (Components(0.7, 0), 1), (Components(0, 12), 1), (Components(0.62, 6), 1),
        (Components(0.6, 20), 0.5), (Components(0.6, 20), 2), (ALL, 1),
    ],
)  # fmt: skip
def test_a_rule_keeps_what_a_flood_fill_keeps(rule: Components, scale: float) -> None:
    removed = 0
    for _ in range(4):
        prob = smooth((37, 45))
        mask = masked(prob, 0.55, rule, scale)
        np.testing.assert_array_equal(mask, by_flood(prob, 0.55, rule, scale))
        removed += int(((prob >= 0.55) & ~mask).sum())
    assert (removed > 0) == (rule != ALL)


def test_specks_go_and_thin_vessels_on_thick_ones_stay() -> None:
    prob = np.zeros((60, 60), np.float32)
    prob[10:50, 20:24] = 0.95  # a thick vessel
    for step in range(12):
        prob[15 + step, 24 + step] = 0.45  # a thin one that leaves it diagonally
    branch = prob == np.float32(0.45)
    thick = prob == np.float32(0.95)
    prob[5, 45:48] = 0.99  # a speck, however sure
    prob[35:56, 50] = 0.45  # a long line that is sure nowhere
    assert pieces_in(prob >= 0.4) == 3
    mask = masked(prob, 0.4, Components(sure=0.7, smallest=10))
    np.testing.assert_array_equal(mask, thick | branch)
    assert masked(prob, 0.4, Components(sure=0.7))[5, 46]
    assert masked(prob, 0.4, Components(smallest=10))[40, 50]
    prob[0, 0] = 0.9  # the frame may cut a large piece
    assert masked(prob, 0.4, Components(sure=0.7, smallest=10))[0, 0]


def planted() -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Maps, references and fields of view: vessels that are found, and faint and small specks."""
    probs, references, fovs = [], [], []
    for shift in range(3):
        fov = np.zeros((96, 96), bool)
        fov[3:93, 3:93] = True
        reference = np.zeros_like(fov)
        reference[10:80, 30 + shift : 36 + shift] = True
        reference[40:46, 36 + shift : 80] = True
        reference[85:88, 10:60] = True  # a second piece
        prob = np.where(reference, 0.9, 0.05).astype(np.float32)
        for number, (y, x) in enumerate(product(range(12, 36, 6), range(50, 90, 6))):
            prob[y : y + 2, x : x + 2 + number % 3] = 0.52 if number % 2 else 0.8
        probs.append(prob)
        references.append(reference)
        fovs.append(fov)
    return probs, references, fovs


def test_the_rule_comes_nearest_to_people_at_little_cost() -> None:
    probs, references, fovs = planted()
    rule = choose_components(probs, references, fovs, 0.5)
    pieces = [pieces_in(masked(p, 0.5, rule) & f) for p, f in zip(probs, fovs, strict=True)]
    assert pieces == [2, 2, 2]
    assert [pieces_in((p >= 0.5) & f) for p, f in zip(probs, fovs, strict=True)] == [30, 30, 30]
    assert choose_components(references, references, fovs, 0.5) == ALL  # nothing to leave out


def test_the_choice_is_that_of_a_search_over_masks() -> None:
    probs = [smooth((64, 80), 2) for _ in range(3)]
    references = [
        ndimage.gaussian_filter(prob + RNG.normal(size=prob.shape) * 0.1, 1.5) > 0.55
        for prob in probs
    ]
    fovs = [np.pad(np.ones((60, 76), bool), 2) for _ in probs]
    chosen = choose_components(probs, references, fovs, 0.5)
    found = {}
    steps = [0.0, *(round(1 / (1 + np.exp(-s)), 4) for s in (0.5, 1, 1.5, 2))]
    for rule in (Components(sure, smallest) for sure, smallest in product(steps, SIZES)):
        masks = [masked(np.where(f, p, 0), 0.5, rule) for p, f in zip(probs, fovs, strict=True)]
        hits = sum((m & r).sum() for m, r in zip(masks, references, strict=True))
        size = sum(m.sum() + (r & f).sum() for m, r, f in zip(masks, references, fovs, strict=True))
        found[rule] = 2 * hits / size, sum(pieces_in(mask) for mask in masks)
    drawn = sum(pieces_in(r & f) for r, f in zip(references, fovs, strict=True))
    least = max(f1 for f1, _ in found.values()) - MARGIN
    allowed = {
        rule: (abs(count - drawn), -f1) for rule, (f1, count) in found.items() if f1 >= least
    }
    assert 1 < len(allowed) < len(found)
    assert allowed[chosen] == min(allowed.values())


def test_a_rule_is_read_as_it_was_written_or_refused() -> None:
    rule = Components(0.7331, 50)
    assert READ.validate_python(asdict(rule)) == rule
    assert READ.validate_python({}) == ALL
    for bad in (
        3, {"sure": 2, "smallest": 0}, {"sure": float("nan"), "smallest": 0},
        {"sure": 0.5, "smallest": -1}, {"sure": 0.5, "smallest": 1.5},
        {"sure": 0.5, "smallest": float("inf")}, {"sure": 0.5, "smallest": 1, "more": 2},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="Components"):
            READ.validate_python(bad)
