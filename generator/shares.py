"""How a step's batch is divided over processes and micro-batches without changing the step.

Whatever a step draws at random (latents, layer noise, augmentation) it draws for the whole batch,
in every process and round alike, and then keeps the rows at hand. Minibatch-std compares samples
n, n + N/G, n + 2N/G, …: a share consists of whole groups, in the order that makes them its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.stages.batching import misfit
from vesselforge.engine.torchrun.ranks import Team


@dataclass(frozen=True)
class Share:
    """Rows of a batch of `total` samples; None: all of them.

    rows: on the device of the images; host: the same on the CPU.
    """

    total: int
    rows: Tensor | None = None
    host: Tensor | None = None

    def cut(self, whole: Tensor) -> Tensor:
        """Keep the share's rows of `[total, …]`."""
        if self.rows is None:
            return whole
        return whole[self.host if whole.device.type == "cpu" else self.rows]

    def randn(self, shape: Sequence[int], device: torch.device) -> Tensor:
        """Draw N(0, 1) for the whole batch, `[total, *shape[1:]]`, and keep the share's rows."""
        return self.cut(torch.randn([self.total, *shape[1:]], device=device))


class Split:
    """The shares of one process of a team, one after the other in rounds."""

    def __init__(
        self,
        group: int | None = None,
        at_once: int | None = None,
        team: Team | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """group: of minibatch-std, None: the whole batch; at_once: images in a round, None: all."""
        self.group = group
        self.at_once = at_once
        self.team = team or Team()
        self.device = device
        self._known: dict[tuple[int, bool], list[Share]] = {}

    def rounds(self, total: int) -> list[Share]:
        """Return the shares of a batch, in whole groups of minibatch-std; at least one.

        Raises ConfigError when the batch cannot be divided like this.
        """
        return self._find(total, path=False)

    def path_rounds(self, total: int) -> list[Share]:
        """Return the shares of the path-length penalty, which has no groups and needs the memory
        of two images for one. There may be fewer images than processes: then some have none."""
        return self._find(total, path=True)

    def _find(self, total: int, path: bool) -> list[Share]:
        key = (total, path)
        if key not in self._known:
            self._known[key] = list(self._divide(total, path))
        return self._known[key]

    def _divide(self, total: int, path: bool) -> Iterator[Share]:
        group, at_once = 1, self.at_once
        if path:
            at_once = None if at_once is None else max(1, at_once // 2)
        else:
            group = min(self.group or total, total)
            if trouble := misfit(total, self.team.size, at_once, group):
                raise ConfigError(f"generator: {trouble}")
        groups = total // group
        mine = np.array_split(np.arange(groups), self.team.size)[self.team.rank]
        per_round = max(1, len(mine) if at_once is None else at_once // group)
        if len(mine) == groups and per_round >= groups:
            yield Share(total)
            return
        for start in range(0, len(mine), per_round):
            some = mine[start : start + per_round]
            rows = torch.from_numpy((np.arange(group)[:, None] * groups + some).flatten())
            yield Share(total, rows.to(self.device), rows)
