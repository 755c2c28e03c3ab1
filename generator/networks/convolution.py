"""Convolution whose derivatives, of every order, are fast convolutions again.

A convolution is linear in its input and in its weights, so each derivative is one of three things:
a convolution, its transpose, or the correlation of an input with an output ("weight gradient").
PyTorch knows that to first order. Its own second derivative loops over groups and computes the
weight gradient as a convolution with an image-sized kernel: 2 to 30 times slower on a CPU, which
R1 and path length feel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

FEATURE_LAYOUT = torch.channels_last
"""Of both networks' features: convolutions are 1.2 times faster so on a CPU, filters 3 times."""


Pair = int | Sequence[int]
"""One number for both axes, or two."""


def pair(value: Pair) -> tuple[int, int]:
    """Return both numbers."""
    first, second = (value, value) if isinstance(value, int) else value
    return first, second


class _Geometry(NamedTuple):
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int
    transposed: bool
    output_padding: tuple[int, int] = (0, 0)

    def transpose(self, size: torch.Size, out: torch.Size, kernel: torch.Size) -> _Geometry:
        """The geometry that maps `out` back to `size`; the stride may have left a remainder."""
        missing = (0, 0)
        if not self.transposed:
            h, w = (
                size[i] - ((out[i] - 1) * self.stride[i - 2] + kernel[i] - 2 * self.padding[i - 2])
                for i in (2, 3)
            )
            missing = (h, w)
        return self._replace(transposed=not self.transposed, output_padding=missing)


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Pair = 1,
    padding: Pair = 0,
    groups: int = 1,
    transposed: bool = False,
) -> Tensor:
    """Correlate as `conv2d` does, or as `conv_transpose2d` when `transposed`.

    `weight` is `[O, I/groups, k, k]`, transposed `[I, O/groups, k, k]`.
    """
    geometry = _Geometry(pair(stride), pair(padding), groups, transposed)
    if groups == 1:  # once here instead of in every kernel, forward and backward
        weight = weight.contiguous(memory_format=_layout(x))
    learns = x.requires_grad or weight.requires_grad or (bias is not None and bias.requires_grad)
    # Exporters and compilers, which know no second derivative, see an ordinary convolution.
    if not (learns and torch.is_grad_enabled()) or torch.compiler.is_compiling():
        return _run(x, weight, bias, geometry)
    result: Tensor = _Convolve.apply(x, weight, bias, geometry)
    return result


def _run(x: Tensor, weight: Tensor, bias: Tensor | None, g: _Geometry) -> Tensor:
    if g.transposed and g.groups > 1 and x.dtype == torch.bfloat16 and x.device.type == "cpu":
        # The one case without a vectorised kernel: 34 ms against 1 ms for [8, 256, 32, 32].
        return _run(x.float(), weight.float(), None if bias is None else bias.float(), g).to(
            x.dtype
        )
    return torch.convolution(
        x, weight, bias, g.stride, g.padding, (1, 1), g.transposed, g.output_padding, g.groups
    )


def _layout(x: Tensor) -> torch.memory_format:
    nhwc = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if nhwc else torch.contiguous_format


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, g: _Geometry) -> Tensor:
        output = _run(x, weight, bias, g)
        ctx.geometry, ctx.back = g, g.transpose(x.shape, output.shape, weight.shape)
        # A gradient in another layout than its output would spread through the whole backward
        # pass, where every product of the two is 3 to 10 times slower.
        ctx.layout = _layout(output)
        # Not kept where it is of no use: the input of a filter or of a frozen layer.
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous(memory_format=ctx.layout)
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = _Convolve.apply(grad, weight, None, ctx.back)
        if ctx.needs_input_grad[1]:
            grad_weight = _WeightGradient.apply(x, grad, weight.shape, ctx.geometry)
        if ctx.needs_input_grad[2]:
            grad_bias = grad.sum(dim=(0, 2, 3))
        return grad_x, grad_weight, grad_bias, None


class _WeightGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, grad: Tensor, shape: torch.Size, g: _Geometry) -> Tensor:
        ctx.geometry, ctx.back = g, g.transpose(x.shape, grad.shape, shape)
        needs_x, needs_grad = ctx.needs_input_grad[:2]
        ctx.save_for_backward(x if needs_grad else None, grad if needs_x else None)
        layout = _layout(x) if g.groups == 1 else torch.contiguous_format
        weight = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=layout)
        result: Tensor = torch.ops.aten.convolution_backward(
            grad, x, weight, None, g.stride, g.padding, (1, 1), g.transposed, g.output_padding,
            g.groups, [False, True, False],
        )[1]  # fmt: skip
        return result

    @staticmethod
    def backward(ctx: Any, grad_weight: Tensor) -> tuple[Tensor | None, ...]:
        x, grad = ctx.saved_tensors
        grad_x = grad_grad = None
        if ctx.needs_input_grad[0]:
            grad_x = _Convolve.apply(grad, grad_weight, None, ctx.back)
        if ctx.needs_input_grad[1]:
            grad_grad = _Convolve.apply(x, grad_weight, None, ctx.geometry)
        return grad_x, grad_grad, None, None
