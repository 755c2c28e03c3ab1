"""Numbers as people give them, typed (`0-31,100`) or in a program."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable
from typing import Any

from vesselforge.configs.errors import ConfigError

MOST_SEEDS = 1_000_000
SEEDS_END = 2**32
"""Seeds have 32 bits."""


def is_number(found: Any, least: float, most: float = math.inf, whole: bool = False) -> bool:
    """Whether it is a number from `least` to `most`; whole: an integer."""
    try:
        return bool(least <= (operator.index(found) if whole else found) <= most)
    except (TypeError, ValueError):  # text, say, or an array of several
        return False


def parse_seeds(text: str) -> list[int]:
    """`0-31,100` → [0, 1, …, 31, 100], in the order given, repeated ones once.

    Raises ConfigError naming the part that is wrong.
    """
    found: dict[int, None] = {}
    given = f"seeds: found {text!r}"
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part, re.ASCII)
        if match is None:
            raise ConfigError(
                f"{given}: {part.strip()!r} is neither a seed nor a range; expected for example "
                "0-31,100"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ConfigError(f"{given}: the range {first}-{last} goes down; expected up")
        if last >= SEEDS_END:
            raise ConfigError(f"{given}: {last} is too large; seeds are below 2^32")
        if len(found) + last - first >= MOST_SEEDS:
            raise ConfigError(f"{given}: more than {MOST_SEEDS} seeds; draw them in parts")
        found |= dict.fromkeys(range(first, last + 1))
    return list(found)


def listed_seeds(seeds: int | str | Iterable[int]) -> list[int]:
    """The same of what a program gives: one seed, text as above, or several. Raises ConfigError."""
    if isinstance(seeds, str):
        return parse_seeds(seeds)
    several = seeds if isinstance(seeds, Iterable) else [seeds]
    given = list(several)
    if wrong := [seed for seed in given if not is_number(seed, 0, SEEDS_END - 1, whole=True)]:
        raise ConfigError(f"seeds: found {wrong[0]!r}, expected 0 to 2^32 - 1")
    found = list(dict.fromkeys(map(int, given)))
    if not 0 < len(found) <= MOST_SEEDS:
        raise ConfigError(f"seeds: found {len(found)}, expected 1 to {MOST_SEEDS}")
    return found


def shorten_seeds(seeds: Iterable[int]) -> str:
    """The inverse of `parse_seeds`, sorted: [0, 1, 2, 7] → `0-2,7`."""
    runs: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
