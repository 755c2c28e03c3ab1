"""A network that sees a part of every batch, and does what it would do with the whole.

Every process of a team has the same network and other rows of the same batch. What is drawn for a
batch (DropBlock, stochastic depth) is drawn for all of it and cut to the rows at hand; sums over a
batch (BatchNorm, DropBlock's factor) are taken over the team, and the loss is that of all outputs.
Every other layer treats each image by itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from vesselforge.engine.torchrun.ranks import Team
from vesselforge.segmenter.networks.dropblock import DropBlock
from vesselforge.segmenter.networks.stochastic_depth import StochasticDepth
from vesselforge.segmenter.networks.sync_batch_norm import SyncBatchNorm2d


class Part:
    """The rows of a batch that this process has; of all processes together, each row once."""

    def __init__(self, team: Team) -> None:
        self.team = team
        self.total = 0
        """Rows of the batch that was cut last; layers that draw go by it."""

    @property
    def rows(self) -> slice:
        """Of that batch, this process's: as many as any other's, give or take one."""
        rank, size = self.team.rank, self.team.size
        return slice(self.total * rank // size, self.total * (rank + 1) // size)

    def cut(self, batch: Tensor) -> Tensor:
        """The rows here of a whole batch [N, …], which has at least one for every process."""
        self.total = len(batch)
        return batch[self.rows]

    def whole(self, rows: Tensor) -> Tensor:
        """The batch [N, …] of which every process gives its rows; the same everywhere.

        A loss of it has in each process the gradient of that process's rows. float32 where there
        are several.
        """
        if self.team.size == 1:
            return rows
        whole: Tensor = _Whole.apply(rows.float(), self)
        return whole


class _Whole(torch.autograd.Function):
    """Everyone adds its rows to zeros: exact, and the parts may differ in size."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, part: Part) -> Tensor:
        ctx.rows = part.rows
        whole = rows.new_zeros([part.total, *rows.shape[1:]])
        whole[part.rows] = rows
        return part.team.total(whole)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient[ctx.rows], None


class PartDropBlock(DropBlock):
    """DropBlock of the whole batch, cut to the rows at hand."""

    def __init__(self, plain: DropBlock, part: Part) -> None:
        super().__init__(plain.drop, plain.block)
        self.train(plain.training)
        self.part = part

    def _seeds(self, images: int, sites: int, rate: float, device: torch.device) -> Tensor:
        site = super()._seeds(self.part.total, sites, rate, device)
        rows = self.part.rows
        return site[(site >= rows.start * sites) & (site < rows.stop * sites)] - rows.start * sites

    def _factor(self, keep: Tensor) -> Tensor:
        kept = self.part.team.total(keep.sum(dtype=torch.float32))
        return keep[0].numel() * self.part.total / kept


class PartStochasticDepth(StochasticDepth):
    """Stochastic depth of the whole batch, cut to the rows at hand."""

    def __init__(self, plain: StochasticDepth, part: Part) -> None:
        super().__init__(plain.drop)
        self.train(plain.training)
        self.part = part

    def _kept(self, images: int, like: Tensor) -> Tensor:
        return super()._kept(self.part.total, like)[self.part.rows]


def spread(network: nn.Module, part: Part) -> None:
    """Put layers in place that know of the other rows; parameters and state names stay.

    Does nothing to a network of one process.
    """
    if part.team.size == 1:
        return
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            setattr(parent, name, _knowing(child, part))


def _knowing(layer: nn.Module, part: Part) -> nn.Module:
    match layer:
        case nn.BatchNorm2d():
            return SyncBatchNorm2d(layer, part.team)
        case DropBlock():
            return PartDropBlock(layer, part)
        case StochasticDepth():
            return PartStochasticDepth(layer, part)
        case _NormBase():
            raise NotImplementedError(f"{layer} of a part of a batch")
        case _DropoutNd() if layer.p > 0:
            raise NotImplementedError(f"{layer} of a part of a batch")
    return layer
