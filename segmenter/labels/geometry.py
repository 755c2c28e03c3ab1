"""Mirrors, quarter turns and windows of maps."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)

TURNS = 8
"""Ways in which a square falls onto itself."""


def turned(array: NDArray[T], number: int) -> NDArray[T]:
    """Orientation `number` of [H, W, …]: 0 to 3 quarter turns, then these of the mirror image."""
    seen = array[:, ::-1] if number >= 4 else array
    return np.ascontiguousarray(np.rot90(seen, number % 4))


def turned_back(array: NDArray[T], number: int) -> NDArray[T]:
    """Undo `turned`."""
    straight = np.rot90(array, -(number % 4))
    return np.ascontiguousarray(straight[:, ::-1] if number >= 4 else straight)


def turns_that_fit(shape: tuple[int, ...]) -> list[int]:
    """The orientations that keep height and width: all 8 of a square, else 4."""
    return [n for n in range(TURNS) if n % 2 == 0 or shape[0] == shape[1]]


def window_sums(values: NDArray[T], size: tuple[int, int]) -> NDArray[np.float64]:
    """Sums of [H, W] over every window [h, w] inside it, by its upper left corner:
    [H − h + 1, W − w + 1]. The window must fit."""
    table = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
    table[1:, 1:] = values.cumsum(0, dtype=np.float64).cumsum(1)
    h, w = size
    return np.asarray(table[h:, w:] - table[:-h, w:] - table[h:, :-w] + table[:-h, :-w])
