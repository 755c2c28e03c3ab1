"""Tensor operations of StyleGAN2: activations, resampling and modulated convolutions.

All are differentiable twice. Images are NCHW.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vesselforge.generator.networks.convolution import convolve
from vesselforge.generator.networks.fir import sides_of, upfirdn2d

SQRT2 = math.sqrt(2)

# name: (function of x and alpha, default alpha, default gain that keeps the variance near 1)
ACTIVATIONS: dict[str, tuple[Callable[[Tensor, float], Tensor], float, float]] = {
    "linear": (lambda x, _: x, 0.0, 1.0),
    "relu": (lambda x, _: F.relu(x), 0.0, SQRT2),
    "lrelu": (F.leaky_relu, 0.2, SQRT2),
    "tanh": (lambda x, _: torch.tanh(x), 0.0, 1.0),
    "sigmoid": (lambda x, _: torch.sigmoid(x), 0.0, 1.0),
    "elu": (lambda x, _: F.elu(x), 0.0, 1.0),
    "selu": (lambda x, _: F.selu(x), 0.0, 1.0),
    "softplus": (lambda x, _: F.softplus(x), 0.0, 1.0),
    "swish": (lambda x, _: torch.sigmoid(x) * x, 0.0, SQRT2),
}


def normalize_2nd_moment(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Scale each row of `[N, F]` to mean square 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()


def activate(
    x: Tensor, act: str = "linear", gain: float = 1.0, clamp: float | None = None
) -> Tensor:
    """Return clamp(gain · act(x)), `clamp` bounding |y| after the gain.

    May overwrite `x`, which must not be needed any more.
    """
    function, alpha, _ = ACTIVATIONS[act]
    x = F.leaky_relu_(x, alpha) if act == "lrelu" else function(x, alpha)
    x = x if gain == 1 else x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


def split_gain(act: str, gain: float) -> tuple[float, float]:
    """Return the gain before and that after an activation, which together make `gain`.

    act(g·x) = g·act(x) for g > 0 in the usual cases: the factor then goes into weights and biases,
    which are few, instead of into every feature.
    """
    return (gain, 1.0) if act in ("linear", "relu", "lrelu") and gain > 0 else (1.0, gain)


def conv2d_resample(
    x: Tensor,
    weight: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    groups: int = 1,
    flip_weight: bool = True,
    bias: Tensor | None = None,
) -> Tensor:
    """Convolve, change the resolution, add a bias `[O]`; `weight` is `[O, I/groups, k, k]`.

    Defined as: insert zeros, FIR (gain up²), convolve, FIR, decimate. Linear filters commute, so
    each usual case below takes the order with the fewest multiplications; all are exact.
    `flip_weight=True` is correlation (`conv2d`), False is true convolution.
    """
    kernel = weight.shape[-1]
    if up == down == 1:
        weight = weight if flip_weight else weight.flip([2, 3])
        return convolve(x, weight, bias, padding=padding, groups=groups)
    assert f is not None
    sides = [padding] * 4
    for factors in ((up, 1), (1, down)):
        if max(factors) > 1:
            sides = [a + b for a, b in zip(sides, sides_of(f, *factors), strict=True)]
    if up > 1 and (kernel > 1 or down > 1):
        x = _transposed(x, weight, up, groups, flip_weight)
        less = (kernel - 1, kernel - up) * 2
        sides = [a - b for a, b in zip(sides, less, strict=True)]
        x = upfirdn2d(x, f, padding=sides, gain=up * up)
        x = x if down == 1 else upfirdn2d(x, f, down=down)
        return x if bias is None else x + bias[:, None, None]
    weight = weight if flip_weight else weight.flip([2, 3])
    if up > 1:  # mix first: fewer pixels
        x = upfirdn2d(convolve(x, weight, groups=groups), f, up=up, padding=sides, gain=up * up)
        return x if bias is None else x + bias[:, None, None]
    first, then = (down, 1) if kernel == 1 else (1, down)  # decimate first: fewer pixels to mix
    x = upfirdn2d(x, f, down=first, padding=sides)
    return convolve(x, weight, bias, stride=then, groups=groups)


def _transposed(x: Tensor, weight: Tensor, up: int, groups: int, flip_weight: bool) -> Tensor:
    """Zero insertion and full convolution at once: H → (H - 1)·up + k."""
    o, i, kh, kw = weight.shape
    w = weight.reshape(groups, o // groups, i, kh, kw).transpose(1, 2)
    w = w.reshape(groups * i, o // groups, kh, kw)
    # A transposed convolution is a true convolution, so the stored kernel is used as it is.
    w = w.flip([2, 3]) if flip_weight else w
    return convolve(x, w, stride=up, groups=groups, transposed=True)


def squares(weight: Tensor) -> Tensor:
    """Return `[O, I]`: the sum of squares of every kernel, which demodulation needs."""
    return weight.square().sum(dim=[2, 3])


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    noise: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    resample_filter: Tensor | None = None,
    demodulate: bool = True,
    flip_weight: bool = True,
    bias: Tensor | None = None,
    gain: float = 1.0,
    power: Tensor | None = None,
) -> Tensor:
    """Convolve with weights scaled by a style per sample and input channel (StyleGAN2, eqs. 1-3).

    `x` [N, I, H, W], `weight` [O, I, k, k], `styles` [N, I], `noise` broadcastable to the output,
    `bias` [O]; the result is gain · (convolution + noise + bias), in the type of `x`. Styles and
    demodulation are computed in their own type, float32. `power` is `squares(weight)`, if known.
    Scaling the activations instead of the weights is the same and needs no grouped convolution.
    """
    if demodulate:
        # Σ(W·s)² over inputs and kernel = s² · ΣW²: a matrix product, not an [N,O,I,k,k] tensor.
        power = squares(weight) if power is None else power
        scale = (styles.square() @ power.t() + 1e-8).rsqrt() * gain  # [N, O]
    else:
        styles = styles * gain
    shift = None if bias is None else (bias * gain).to(x.dtype)[:, None, None]
    x = x * styles.to(x.dtype)[:, :, None, None]
    weight = weight.to(x.dtype)
    y = conv2d_resample(x, weight, resample_filter, up, down, padding, flip_weight=flip_weight)
    if demodulate:  # with the bias in one pass over the features
        shift = y.new_zeros([]) if shift is None else shift
        y = torch.addcmul(shift, y, scale.to(x.dtype)[:, :, None, None])
    elif shift is not None:
        y = y + shift
    return y if noise is None else y + (noise * gain).to(x.dtype)


def minibatch_std(x: Tensor, group_size: int | None, num_channels: int) -> Tensor:
    """Append `num_channels` maps holding the mean standard deviation within groups of samples.

    A group is samples n, n + N/G, n + 2N/G, … (strided). Raises ValueError when N is no multiple
    of the group.
    """
    n, c, h, w = x.shape
    group = n if group_size is None else min(group_size, n)
    if n % group:
        raise ValueError(f"a batch of {n} cannot be split into minibatch-std groups of {group}")
    y = x.reshape(group, n // group, num_channels, c // num_channels, h, w)
    y = y - y.mean(dim=0)
    y = (y.square().mean(dim=0) + 1e-8).sqrt().mean(dim=[2, 3, 4])  # [N/G, F]
    y = y.repeat(group, 1)[:, :, None, None].expand(n, num_channels, h, w)
    return torch.cat([x, y], dim=1)
