"""The same networks by their plain definitions, as a yardstick: slower, the same numbers.

Demodulation builds every sample's weights, FIR filters insert zeros and filter every pixel, each
step of an activation is a pass of its own, features are NCHW, derivatives are PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from vesselforge.generator.networks.fir import setup_filter, upsample2d
from vesselforge.generator.networks.ops import ACTIVATIONS, conv2d_resample


@contextmanager
def plain_definitions() -> Iterator[None]:
    """Within it, networks compute by the definitions below."""
    replaced: dict[str, Any] = {
        "vesselforge.generator.networks.convolution.FEATURE_LAYOUT": torch.contiguous_format,
        "vesselforge.generator.networks.fir.convolve": convolve,
        "vesselforge.generator.networks.ops.convolve": convolve,
        "vesselforge.generator.networks.fir.upfirdn2d": upfirdn2d,
        "vesselforge.generator.networks.ops.upfirdn2d": upfirdn2d,
        "vesselforge.generator.networks.synthesis.modulated_conv2d": modulated_conv2d,
        "vesselforge.generator.networks.synthesis.upsample_binomial": upsample_image,
        "vesselforge.generator.networks.synthesis.activate": activate,
        "vesselforge.generator.networks.layers.activate": activate,
        "vesselforge.generator.networks.synthesis.split_gain": split_gain,
        "vesselforge.generator.networks.layers.split_gain": split_gain,
    }
    with ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(patch(name, value))
        yield


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    transposed: bool = False,
) -> Tensor:
    """`convolution.convolve` with PyTorch's own derivatives, the bias a pass apart."""
    function = F.conv_transpose2d if transposed else F.conv2d
    y = function(x, weight, stride=stride, padding=padding, groups=groups)
    return y if bias is None else y + bias[:, None, None]


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: int | Sequence[int] = 1,
    down: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """`fir.upfirdn2d` by its definition: zeros, padding, filter, then decimation."""
    f = torch.ones(1, 1) if f is None else f
    ux, uy = (up, up) if isinstance(up, int) else up
    dx, dy = (down, down) if isinstance(down, int) else down
    sides = [padding] * 4 if isinstance(padding, int) else list(padding)
    x0, x1, y0, y1 = sides if len(sides) == 4 else [sides[0]] * 2 + [sides[1]] * 2
    if f.ndim == 1:
        half = math.sqrt(gain)
        x = upfirdn2d(x, f[None], (ux, 1), (dx, 1), (x0, x1, 0, 0), flip_filter, half)
        return upfirdn2d(x, f[:, None], (1, uy), (1, dy), (0, 0, y0, y1), flip_filter, half)
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n, c, h, 1, w, 1), [0, ux - 1, 0, 0, 0, uy - 1])
    x = F.pad(x.reshape(n, c, h * uy, w * ux), [x0, x1, y0, y1])
    kernel = (f * gain).to(x.dtype)
    kernel = (kernel if flip_filter else kernel.flip([0, 1])).repeat(c, 1, 1, 1)
    return F.conv2d(x, kernel, groups=c)[:, :, ::dy, ::dx]


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    noise: Tensor | None = None,
    padding: int = 0,
    demodulate: bool = True,
    bias: Tensor | None = None,
    gain: float = 1.0,
    power: Tensor | None = None,
    **resampling: Any,
) -> Tensor:
    """`generator.ops.modulated_conv2d` with the explicit `[N, O, I, k, k]` weights."""
    n, o = x.shape[0], weight.shape[0]
    f = resampling.pop("resample_filter", None)
    w = weight[None] * styles[:, None, :, None, None]
    scale = (w.square().sum(dim=[2, 3, 4]) + 1e-8).rsqrt() if demodulate else w.new_ones(n, o)
    if torch.is_grad_enabled():
        y = conv2d_resample(x * styles[:, :, None, None], weight, f, padding=padding, **resampling)
        y = y * scale[:, :, None, None]
    else:  # the well-known implementation makes per-sample weights where nothing is learnt
        w = w * scale[:, :, None, None, None]
        y = conv2d_resample(
            x.reshape(1, -1, *x.shape[2:]), w.flatten(0, 1), f, padding=padding, groups=n,
            **resampling,
        )  # fmt: skip
        y = y.reshape(n, o, *y.shape[2:])
    y = y if noise is None else y + noise
    y = y if bias is None else y + bias[:, None, None]
    return y if gain == 1 else y * gain


def upsample_image(x: Tensor) -> Tensor:
    """`fir.upsample_binomial` as a filter."""
    return upsample2d(x, setup_filter([1, 3, 3, 1]).to(x.device))


def activate(
    x: Tensor, act: str = "linear", gain: float = 1.0, clamp: float | None = None
) -> Tensor:
    """`generator.ops.activate`, one pass a step, nothing overwritten."""
    function, alpha, _ = ACTIVATIONS[act]
    x = function(x, alpha)
    x = x if gain == 1 else x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


def split_gain(act: str, gain: float) -> tuple[float, float]:
    """All of the gain after the activation."""
    return 1.0, gain
