"""BatchNorm over a batch that several processes share."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vesselforge.engine.torchrun.ranks import Team


class SyncBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` whose batch is that of all processes of a team.

    PyTorch's SyncBatchNorm runs on GPUs alone; this one runs wherever the team can add up. One
    message in the forward pass, one in the backward pass; every process then has the same running
    statistics. In evaluation it is the plain layer.
    """

    def __init__(self, plain: nn.BatchNorm2d, team: Team) -> None:
        """In the place of `plain`, whose parameters and statistics it takes over."""
        super().__init__(plain.num_features, plain.eps, plain.momentum)
        self.weight, self.bias = plain.weight, plain.bias
        self.running_mean, self.running_var = plain.running_mean, plain.running_var
        self.num_batches_tracked = plain.num_batches_tracked
        self.train(plain.training)
        self.team = team

    def forward(self, x: Tensor) -> Tensor:  # [n, C, H, W], the rows of this process
        if not self.training:
            return super().forward(x)
        mean, var, count = _statistics(x.detach(), self.team)
        self._remember(mean, var * (count / (count - 1)))
        return _Normalise.apply(x, self.weight, self.bias, mean, var, count, self.eps, self.team)

    @torch.no_grad()
    def _remember(self, mean: Tensor, var: Tensor) -> None:
        """Move the running statistics; without a momentum to the plain mean over all batches."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.float(), share)
        self.running_var.lerp_(var.float(), share)


def _statistics(x: Tensor, team: Team) -> tuple[Tensor, Tensor, Tensor]:
    """(mean, variance, number of values) of each channel over the team, [C], [C] and []; float64.

    PyTorch's own kernel looks at the rows here. What they add to Σx and Σx² is passed on in
    float64, in which the difference of the two loses nothing that float32 had.
    """
    n, c = x.numel() // x.shape[1], x.shape[1]
    # Statistics to be moved (by nothing) make it answer in float32 where x is bfloat16.
    unused = torch.zeros([2, c], device=x.device)
    mean, var = torch.batch_norm_update_stats(x, unused[0], unused[1], 0.0)
    mean, var = mean.double(), var.double()
    sums = torch.cat([mean * n, (var + mean.square()) * n, mean.new_full([1], n)])
    total, squares, count = team.total(sums).split([c, c, 1])
    mean = total / count
    return mean, (squares / count - mean.square()).clamp(min=0), count[0]


class _Normalise(torch.autograd.Function):
    """y = γ·(x − m)·r + β, r = 1/√(var + ε), with m and var of the values of all processes."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        var: Tensor,
        count: Tensor,
        eps: float,
        team: Team,
    ) -> Tensor:
        mean, var = mean.float(), var.float()
        ctx.save_for_backward(x, weight, mean, var, count)
        ctx.eps, ctx.team = eps, team
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """With k values a channel, S = Σ dy·(x − m)·r and B = Σ dy over the team:

        dx = γ·r·dy − γ·r²·S/k · (x − m) − γ·r·B/k. The first term, and what the rows here add to S
        and B (the gradients of γ and β), is the backward pass with constant statistics.
        """
        x, weight, mean, var, count = ctx.saved_tensors
        plain, d_weight, d_bias = torch.ops.aten.native_batch_norm_backward(
            dy, x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        product, total = ctx.team.total(torch.cat([d_weight, d_bias]).double()).chunk(2)
        rstd = (var.double() + ctx.eps).rsqrt()
        slope = -weight * rstd.square() * product / count
        shift = -weight * rstd * total / count - slope * mean
        slope, shift = (v.float()[:, None, None] for v in (slope, shift))
        dx = torch.addcmul(shift, x.float(), slope).add_(plain).to(x.dtype)
        return dx, d_weight, d_bias, None, None, None, None, None
