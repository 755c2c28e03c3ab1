"""Convolution with its own derivatives, against PyTorch's, of first and second order."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from generator_helpers import assert_close

from vesselforge.generator.networks.convolution import convolve
from vesselforge.generator.networks.fir import setup_filter, upfirdn2d

CASES = [
    {"stride": 1, "padding": 1, "groups": 1, "transposed": False},
    {"stride": 2, "padding": 0, "groups": 1, "transposed": False},
    {"stride": (2, 1), "padding": (1, 0), "groups": 2, "transposed": False},
    {"stride": 2, "padding": 0, "groups": 1, "transposed": True},
    {"stride": (1, 2), "padding": (1, 2), "groups": 4, "transposed": True},
]


def derivatives(function, case):
    """First and second derivatives, the latter through a loss made of the former."""
    torch.manual_seed(0)
    layout = torch.channels_last
    x = torch.randn(2, 4, 6, 7, dtype=torch.float64).contiguous(memory_format=layout)
    w = torch.randn(4, 4 // case["groups"], 3, 3, dtype=torch.float64)
    b = torch.randn(4, dtype=torch.float64)
    inputs = [t.requires_grad_() for t in (x, w, b)]
    y = function(*inputs, **case)
    first = torch.autograd.grad(y.sin().sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
    return [y, *first, *second]


def native(x, w, b, transposed, **options):
    return (F.conv_transpose2d if transposed else F.conv2d)(x, w, b, **options)


@pytest.mark.parametrize("case", CASES)
def test_derivatives_are_those_of_pytorch(case):
    for ours, theirs in zip(derivatives(convolve, case), derivatives(native, case), strict=True):
        assert_close(ours, theirs, 1e-12)


def test_frozen_weights_get_no_gradient_and_keep_no_input():
    x = torch.randn(1, 2, 4, 4, requires_grad=True)
    w = torch.randn(3, 2, 1, 1)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        y = convolve(x, w)
    assert kept == [w.shape]
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert_close(gradient, w.sum(dim=0)[None].expand_as(x), 1e-6)


def test_gradients_keep_the_layout_of_features():
    x = torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = convolve(x, torch.randn(5, 3, 3, 3), padding=1)
    assert y.is_contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(y, x, torch.randn(2, 5, 8, 8))  # an NCHW one
    assert gradient.is_contiguous(memory_format=torch.channels_last)


def test_bfloat16_filters_of_any_kind():
    """Transposed depthwise convolutions in bfloat16 have no fast kernel on a CPU: another way."""
    x, f = torch.randn(2, 16, 8, 8), setup_filter([1, 3, 3, 1])
    exact = upfirdn2d(x, f, up=2, padding=(2, 2, 1, 1))
    near = upfirdn2d(x.bfloat16(), f, up=2, padding=(2, 2, 1, 1))
    assert near.dtype == torch.bfloat16
    assert_close(near.float(), exact, 1e-2)
