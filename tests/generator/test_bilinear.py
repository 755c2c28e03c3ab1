"""Bilinear sampling against PyTorch's, against finite differences, and without its derivatives."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vesselforge.generator.augment.pixels import sample_bilinear


def case() -> tuple[Tensor, Tensor]:
    """Images, and a grid that reaches beyond them."""
    draw = torch.Generator().manual_seed(3)
    images = torch.rand(2, 3, 5, 4, generator=draw, dtype=torch.float64, requires_grad=True)
    grid = torch.rand(2, 6, 3, 2, generator=draw, dtype=torch.float64) * 2.6 - 1.3
    return images, grid


def test_values_and_gradients_are_pytorchs() -> None:
    images, grid = case()
    ours = sample_bilinear(images, grid)
    theirs = F.grid_sample(images, grid, "bilinear", "zeros", align_corners=False)
    assert torch.equal(ours, theirs)
    weight = torch.rand_like(ours)
    (mine,) = torch.autograd.grad((ours * weight).sum(), images)
    (expected,) = torch.autograd.grad((theirs * weight).sum(), images)
    assert torch.equal(mine, expected)


def test_derivatives_agree_with_finite_differences() -> None:
    images, grid = case()
    assert torch.autograd.gradcheck(lambda x: sample_bilinear(x, grid).square(), images)
    assert torch.autograd.gradgradcheck(lambda x: sample_bilinear(x, grid).square(), images)


def test_no_derivative_is_asked_of_grid_sample() -> None:
    """The graph of a gradient has none of its nodes: before PyTorch 2.13 one of them ends in an
    error, seen on an H100 with 2.11."""
    images, grid = case()
    loss = sample_bilinear(images, grid).square().sum()
    (gradient,) = torch.autograd.grad(loss, images, create_graph=True)
    names, nodes, seen = set(), [gradient.grad_fn, loss.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            names.add(type(node).__name__)
            nodes += [following for following, _ in node.next_functions]
    assert "_LinearBackward" in names
    assert not [name for name in names if "GridSampler" in name]
