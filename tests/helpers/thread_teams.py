"""A team of threads instead of processes, for what needs nothing but sums.

Threads share PyTorch's random stream: nothing may be drawn in them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from torch import Tensor

from vesselforge.engine.torchrun.ranks import Team

T = TypeVar("T")


class ThreadTeam(Team):
    """One thread among several."""

    def __init__(self, rank: int, table: list[Tensor | None], barrier: threading.Barrier) -> None:
        super().__init__(rank, len(table))
        self.table, self.barrier = table, barrier

    def total(self, values: Tensor) -> Tensor:
        self.table[self.rank] = values.clone()
        self.barrier.wait(60)
        values.copy_(sum(self.table))
        self.barrier.wait(60)  # nobody writes before all have read
        return values


def together(size: int, act: Callable[[Team], T]) -> list[T]:
    """What `act` returns in each of so many threads."""
    table: list[Tensor | None] = [None] * size
    barrier = threading.Barrier(size)

    def run(rank: int) -> T:
        try:
            return act(ThreadTeam(rank, table, barrier))
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size)))
