"""Mirrors and quarter turns of maps."""

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
