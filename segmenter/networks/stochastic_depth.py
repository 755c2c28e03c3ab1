"""Stochastic depth (Huang et al. 2016): whole residual branches are left out, image by image."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """In training, zero an image's branch with probability `drop`, else divide it by 1 − drop."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:  # [N, …]
        if not self.training or self.drop == 0:
            return x
        kept = self._kept(len(x), x).view(-1, *[1] * (x.dim() - 1))
        return x.div(1 - self.drop) * kept

    def _kept(self, images: int, like: Tensor) -> Tensor:
        """[images], 1 where the branch stays and 0 where it goes, of the dtype and device of x."""
        drawn = torch.rand(images, dtype=like.dtype, device=like.device)
        return torch.floor(drawn + (1 - self.drop))

    def extra_repr(self) -> str:
        return f"drop={self.drop}"
