"""Bilinear sampling that can be differentiated twice with respect to the images.

R1 and path length differentiate gradients that pass through the augmentation. PyTorch before 2.13
has no derivative of the backward pass of `grid_sample`, on any device. None is needed: sampling is
linear in the images, its backward pass is the adjoint, and the adjoint of that is sampling again.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

BILINEAR, ZEROS = 0, 0
"""Numbers of the modes inside PyTorch."""


def sample_bilinear(images: Tensor, grid: Tensor) -> Tensor:
    """[N, C, h, w] the images [N, C, H, W] at `grid` [N, h, w, 2], in [−1, 1] from the outer edge
    of the first pixel to that of the last; zero outside. The grid gets no gradient."""
    sampled: Tensor = _Sample.apply(images, grid)
    return sampled


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.size = images.shape
        return F.grid_sample(images, grid, "bilinear", "zeros", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _Adjoint.apply(outputs[0], grid, ctx.size), None


class _Adjoint(torch.autograd.Function):
    """The adjoint: every sample goes back to the pixels that it came from."""

    @staticmethod
    def forward(ctx: Any, samples: Tensor, grid: Tensor, size: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        images = samples.new_zeros(size)  # their values count for the grid's gradient alone
        gradient: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            samples, images, grid, BILINEAR, ZEROS, False, [True, False]
        )[0]
        return gradient

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Sample.apply(outputs[0], grid), None, None
