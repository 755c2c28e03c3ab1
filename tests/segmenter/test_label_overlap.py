"""Copies of real vessel maps are found however they were moved; others are not."""

from __future__ import annotations

import time

import numpy as np
import pytest

from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.segmenter.labels.geometry import turned, turned_back, turns_that_fit
from vesselforge.segmenter.labels.overlap import MARGIN, RealMaps

Mask = np.ndarray


def maps(count: int, size: int = 96, first: int = 0) -> list[Mask]:
    return [make_phantom(first + number, size).mask for number in range(count)]


def by_loops(sample: Mask, reals: list[Mask]) -> float:
    """The highest Dice over all maps, orientations and shifts, one at a time."""
    best = 0.0
    for real in reals:
        for k in range(4):
            for mirrored in (False, True):
                seen = np.rot90(sample, k)
                seen = seen[::-1] if mirrored else seen
                h, w = seen.shape
                rims = [
                    max(round(n * MARGIN), -(-(n - have) // 2) + round(n * MARGIN))
                    for n, have in zip((h, w), real.shape, strict=True)
                ]
                wide = np.pad(real, [(rim, rim) for rim in rims])
                for y in range(wide.shape[0] - h + 1):
                    for x in range(wide.shape[1] - w + 1):
                        under = wide[y : y + h, x : x + w]
                        both = 2 * (under & seen).sum()
                        best = max(best, both / (under.sum() + seen.sum()))
    return best


@pytest.mark.parametrize("size", [(14, 14), (11, 18), (40, 33), (44, 30)])
def test_the_best_place_is_that_of_a_search_by_loops(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    reals = [make_phantom(0, 40).mask[:, :33], make_phantom(1, 36).mask]
    sample = np.zeros(size, bool)
    other = make_phantom(8, 48).mask[: size[0], : size[1]]
    sample[: other.shape[0], : other.shape[1]] = other
    sample |= rng.random(size) < 0.05
    expected = by_loops(sample, reals)
    exact, fast = RealMaps(reals, step=1), RealMaps(reals)
    assert exact.best(sample).dice == pytest.approx(expected, abs=1e-12)
    assert expected - 0.05 <= fast.best(sample).dice <= expected + 1e-12


@pytest.mark.parametrize("step", [1, 2, 4])
def test_a_planted_copy_is_found_where_it_is(step: int) -> None:
    reals = maps(4)
    search = RealMaps(reals, step)
    for number, (turn, y, x) in enumerate([(0, 20, 28), (3, 20, 21), (4, 20, 28), (6, 33, 17)]):
        window = reals[number][y : y + 32, x : x + 32]
        assert window.sum() > 40
        found = search.best(turned_back(window, turn))  # turned by `turn` it fits
        assert found == (1.0, number, turn, y, x)
        noisy = turned_back(window, turn).copy()
        noisy[3:5, :] = False
        found = search.best(noisy)
        assert (found.real, found.turn, found.y, found.x) == (number, turn, y, x)
        assert 0.85 < found.dice < 1


def test_a_whole_copy_is_found_despite_a_small_shift_and_a_turn() -> None:
    reals = maps(3)
    copy = np.zeros_like(reals[1])
    copy[:-4, 3:] = turned(reals[1], 5)[4:, :-3]
    found = RealMaps(reals).best(copy)
    # What was shifted out is lost to the copy: the Dice is high, not 1.
    assert found.dice > 0.97 and found.real == 1
    assert found.turn in {n for n in range(8) if np.array_equal(turned(turned(copy, n), 5), copy)}
    far = np.zeros_like(reals[1])
    far[:-24] = reals[1][24:]  # a quarter of the image: beyond the shifts of whole images
    assert RealMaps(reals).best(far).dice < 0.7


def test_an_unrelated_map_is_no_copy() -> None:
    search = RealMaps(maps(4))
    strangers = [search.best(mask).dice for mask in maps(4, first=50)]
    assert 0 < max(strangers) < 0.6
    windows = [search.best(mask[30:62, 30:62]).dice for mask in maps(4, first=50)]
    assert 0.2 < np.median(windows) < 0.9  # pieces of vessel are alike


def test_no_vessels_no_overlap() -> None:
    empty = np.zeros((16, 16), bool)
    assert RealMaps(maps(1)).best(empty).dice == 0
    assert RealMaps([np.zeros((20, 20), bool)]).best(~empty).dice == 0


def test_speed() -> None:
    """A patch against 16 maps of DRIVE's size; 0.06 s on a free core, much more if it were done
    in pixels or by loops."""
    rng = np.random.default_rng(0)
    reals = [rng.random((584, 565)) < 0.1 for _ in range(16)]
    search, sample = RealMaps(reals), rng.random((64, 64)) < 0.1
    search.best(sample)
    began = time.process_time()
    search.best(sample)
    assert time.process_time() - began < 2


def test_orientations_and_their_inverses() -> None:
    image = np.arange(5 * 5 * 3).reshape(5, 5, 3)
    seen = [turned(image, n) for n in range(8)]
    assert len({one.tobytes() for one in seen}) == 8
    for number, one in enumerate(seen):
        np.testing.assert_array_equal(turned_back(one, number), image)
    assert turns_that_fit((5, 5, 3)) == list(range(8))
    assert turns_that_fit((4, 5, 3)) == [0, 2, 4, 6]
    assert {turned(image[:4], n).shape for n in turns_that_fit((4, 5))} == {(4, 5, 3)}
