"""How a step's batch is divided over processes without changing the step.

Whatever a step draws at random (latents, layer noise, augmentation) it draws for the whole batch,
in every process alike, and then keeps the rows at hand. Minibatch-std compares samples n, n + N/G,
n + 2N/G, …: a shard consists of whole groups, in the order that makes them its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.stages.gan import misfit
from vesselforge.engine.torchrun.ranks import ProcessGroup


@dataclass(frozen=True)
class Shard:
    """Rows (on the CPU) of a batch of `total` samples; None: all of them."""

    total: int
    rows: Tensor | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return self.rows is not None and not len(self.rows)

    def cut(self, whole: Tensor) -> Tensor:
        """Keep the shard's rows of `[total, …]`."""
        return whole if self.rows is None else whole[self.rows.to(whole.device, non_blocking=True)]

    def randn(self, shape: Sequence[int], device: torch.device) -> Tensor:
        """Draw N(0, 1) for the whole batch, `[total, *shape[1:]]`, and keep the shard's rows."""
        return self.cut(torch.randn([self.total, *shape[1:]], device=device))


def shard_of(total: int, group: int | None, ranks: ProcessGroup) -> Shard:
    """Return this process's part of a batch, in whole groups of minibatch-std.

    group: None: there are no groups, and there may be fewer samples than processes: some have none.
    Raises ConfigError when the batch cannot be divided like this.
    """
    if ranks.world_size == 1 and (group is None or total % min(group, total) == 0):
        return Shard(total)
    size = 1 if group is None else min(group, total)
    if group is not None and (trouble := misfit(total, ranks.world_size, size)):
        raise ConfigError(f"generator: {trouble}")
    groups = total // size
    mine = np.array_split(np.arange(groups), ranks.world_size)[ranks.rank]
    return Shard(total, torch.from_numpy((np.arange(size)[:, None] * groups + mine).flatten()))
