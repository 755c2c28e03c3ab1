"""Tensor operations of StyleGAN2: FIR resampling, biased activations, modulated convolution.

Everything is ordinary PyTorch, so first- and second-order gradients come from autograd. Images are
NCHW. Filters are float32 buffers: 2-D `[h, w]`, or 1-D `[t]` meaning the same taps on both axes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SEPARABLE_FROM = 8  # 1-D filters with this many taps or more stay 1-D: two short passes are cheaper

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


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Return clamp(gain · act(x + bias)), bias on axis 1; `clamp` bounds |y| after the gain."""
    function, default_alpha, default_gain = ACTIVATIONS[act]
    gain = default_gain if gain is None else gain
    if bias is not None:
        x = x + bias.reshape([-1 if axis == 1 else 1 for axis in range(x.ndim)])
    x = function(x, default_alpha if alpha is None else alpha)
    if gain != 1:
        x = x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


def setup_filter(
    taps: Sequence[float] | Sequence[Sequence[float]] | np.ndarray | Tensor | None,
    normalize: bool = True,
    flip: bool = False,
    gain: float = 1.0,
    separable: bool | None = None,
) -> Tensor:
    """Prepare an FIR filter: outer product of short 1-D taps, sum 1, optional flip and gain.

    `None` is the identity. `separable=None` keeps 1-D taps one-dimensional from eight taps on.
    """
    if isinstance(taps, Tensor):
        f = taps.detach().to("cpu", torch.float32)
    else:
        f = torch.as_tensor(np.asarray(1 if taps is None else taps, dtype=np.float32))
    if f.ndim == 0:
        f = f[None]
    if separable is None:
        separable = f.ndim == 1 and f.numel() >= SEPARABLE_FROM
    if f.ndim == 1 and not separable:
        f = torch.outer(f, f)
    if normalize:
        f = f / f.sum()
    if flip:
        f = f.flip(list(range(f.ndim)))
    return f * gain ** (f.ndim / 2)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    x, y = (value, value) if isinstance(value, int) else value
    return int(x), int(y)


def _sides(padding: int | Sequence[int]) -> tuple[int, int, int, int]:
    """Expand a number, (x, y) or (x0, x1, y0, y1) to (x0, x1, y0, y1)."""
    values = [padding] * 4 if isinstance(padding, int) else list(padding)
    if len(values) == 2:
        values = [values[0], values[0], values[1], values[1]]
    x0, x1, y0, y1 = values
    return x0, x1, y0, y1


def _taps(f: Tensor | None) -> tuple[int, int]:
    """Width and height of a filter."""
    return (1, 1) if f is None else (f.shape[-1], f.shape[0])


def _insert_zeros(x: Tensor, up: tuple[int, int]) -> Tensor:
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n, c, h, 1, w, 1), [0, up[0] - 1, 0, 0, 0, up[1] - 1])
    return x.reshape(n, c, h * up[1], w * up[0])


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: int | Sequence[int] = 1,
    down: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad or crop, filter every channel, decimate.

    The filter is convolved (correlated if `flip_filter`). Output length per axis is
    floor((in·up + p0 + p1 - taps) / down) + 1. Negative padding crops.
    """
    (up_x, up_y), (down_x, down_y) = _pair(up), _pair(down)
    x0, x1, y0, y1 = _sides(padding)
    if f is None:
        f = x.new_ones([1, 1], dtype=torch.float32)
    if f.ndim == 1:  # each axis on its own: shorter filters, and less data in the first pass
        g = math.sqrt(gain)
        x = upfirdn2d(x, f[None], (up_x, 1), (down_x, 1), [x0, x1, 0, 0], flip_filter, g)
        return upfirdn2d(x, f[:, None], (1, up_y), (1, down_y), [0, 0, y0, y1], flip_filter, g)
    if up_x > 1 or up_y > 1:
        x = _insert_zeros(x, (up_x, up_y))
    inside = x0 == x1 >= 0 and y0 == y1 >= 0  # the convolution can pad by itself: one copy saved
    if not inside:
        x = F.pad(x, [x0, x1, y0, y1])
    f = (f * gain).to(x.dtype)
    f = f if flip_filter else f.flip([0, 1])
    channels = x.shape[1]
    kernel = f.expand(channels, 1, *f.shape)
    pad = (y0, x0) if inside else 0
    return F.conv2d(x, kernel, stride=(down_y, down_x), padding=pad, groups=channels)


def filter2d(
    x: Tensor,
    f: Tensor | None,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Filter without changing the size; `padding` adds output pixels."""
    fw, fh = _taps(f)
    base = (fw // 2, (fw - 1) // 2, fh // 2, (fh - 1) // 2)
    pad = [a + b for a, b in zip(base, _sides(padding), strict=True)]
    return upfirdn2d(x, f, padding=pad, flip_filter=flip_filter, gain=gain)


def upsample2d(
    x: Tensor,
    f: Tensor | None,
    up: int | Sequence[int] = 2,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Enlarge by `up`, keeping the mean; `padding` adds output pixels."""
    (ux, uy), (fw, fh) = _pair(up), _taps(f)
    base = ((fw + ux - 1) // 2, (fw - ux) // 2, (fh + uy - 1) // 2, (fh - uy) // 2)
    pad = [a + b for a, b in zip(base, _sides(padding), strict=True)]
    return upfirdn2d(x, f, up=up, padding=pad, flip_filter=flip_filter, gain=gain * ux * uy)


def downsample2d(
    x: Tensor,
    f: Tensor | None,
    down: int | Sequence[int] = 2,
    padding: int | Sequence[int] = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Shrink by `down`; `padding` adds input pixels."""
    (dx, dy), (fw, fh) = _pair(down), _taps(f)
    base = ((fw - dx + 1) // 2, (fw - dx) // 2, (fh - dy + 1) // 2, (fh - dy) // 2)
    pad = [a + b for a, b in zip(base, _sides(padding), strict=True)]
    return upfirdn2d(x, f, down=down, padding=pad, flip_filter=flip_filter, gain=gain)


def upsample_binomial(x: Tensor) -> Tensor:
    """`upsample2d` with the [1, 3, 3, 1] filter, ten times faster.

    Those taps are exactly bilinear interpolation at half-pixel offsets; the ring of zeros gives
    the same fade at the border as zero padding.
    """
    x = F.interpolate(F.pad(x, [1, 1, 1, 1]), scale_factor=2, mode="bilinear", align_corners=False)
    return x[:, :, 2:-2, 2:-2]


def _convolve(
    x: Tensor, weight: Tensor, correlate: bool, groups: int, stride: int = 1, padding: int = 0
) -> Tensor:
    weight = weight if correlate else weight.flip([2, 3])
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=groups)


def conv2d_resample(
    x: Tensor,
    weight: Tensor,
    f: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: int = 0,
    groups: int = 1,
    flip_weight: bool = True,
) -> Tensor:
    """Convolve and change the resolution in one step; `weight` is `[O, I/groups, k, k]`.

    Defined as: insert zeros, FIR (gain up²), convolve, FIR, decimate. Linear filters commute, so
    each usual case below takes the order with the fewest multiplications; all are exact.
    `flip_weight=True` is correlation (`conv2d`), False is true convolution.
    """
    kernel = weight.shape[-1]
    fw, fh = _taps(f)
    x0, x1, y0, y1 = [padding] * 4
    if up > 1:
        x0, x1 = x0 + (fw + up - 1) // 2, x1 + (fw - up) // 2
        y0, y1 = y0 + (fh + up - 1) // 2, y1 + (fh - up) // 2
    if down > 1:
        x0, x1 = x0 + (fw - down + 1) // 2, x1 + (fw - down) // 2
        y0, y1 = y0 + (fh - down + 1) // 2, y1 + (fh - down) // 2
    sides = [x0, x1, y0, y1]

    if up == 1 and down == 1:
        return _convolve(x, weight, flip_weight, groups, padding=padding)
    if kernel == 1 and down > 1 and up == 1:  # decimate first: fewer pixels to mix
        x = upfirdn2d(x, f, down=down, padding=sides)
        return _convolve(x, weight, flip_weight, groups)
    if kernel == 1 and up > 1 and down == 1:  # mix first: fewer pixels
        x = _convolve(x, weight, flip_weight, groups)
        return upfirdn2d(x, f, up=up, padding=sides, gain=up * up)
    if up == 1:
        x = upfirdn2d(x, f, padding=sides)
        return _convolve(x, weight, flip_weight, groups, stride=down)
    x = _transposed(x, weight, up, groups, flip_weight)
    sides = [x0 - kernel + 1, x1 - kernel + up, y0 - kernel + 1, y1 - kernel + up]
    x = upfirdn2d(x, f, padding=sides, gain=up * up)
    return x if down == 1 else upfirdn2d(x, f, down=down)


def _transposed(x: Tensor, weight: Tensor, up: int, groups: int, flip_weight: bool) -> Tensor:
    """Zero insertion and full convolution at once: H → (H - 1)·up + k."""
    o, i, kh, kw = weight.shape
    w = weight.reshape(groups, o // groups, i, kh, kw).transpose(1, 2)
    w = w.reshape(groups * i, o // groups, kh, kw)
    # A transposed convolution is a true convolution, so the stored kernel is used as it is.
    w = w.flip([2, 3]) if flip_weight else w
    return F.conv_transpose2d(x, w, stride=up, groups=groups)


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
    fused: bool = False,
) -> Tensor:
    """Convolve with weights scaled by a style per sample and input channel (StyleGAN2, eqs. 1-3).

    `x` [N, I, H, W], `weight` [O, I, k, k], `styles` [N, I], `noise` broadcastable to the output.
    Scaling the activations instead of the weights is the same and needs no grouped convolution;
    `fused` builds per-sample weights, faster for few channels and large images.
    """
    coefficients = None
    if demodulate:
        # Σ(W·s)² over inputs and kernel = s² · ΣW²: a matrix product, not an [N,O,I,k,k] tensor.
        power = weight.square().sum(dim=[2, 3])  # [O, I]
        coefficients = (styles.square() @ power.t() + 1e-8).rsqrt()  # [N, O]
    resampling: dict[str, Any] = {
        "up": up,
        "down": down,
        "padding": padding,
        "flip_weight": flip_weight,
    }
    if fused:
        n, o = x.shape[0], weight.shape[0]
        w = weight[None] * styles[:, None, :, None, None]
        if coefficients is not None:
            w = w * coefficients[:, :, None, None, None]
        y = conv2d_resample(
            x.reshape(1, -1, *x.shape[2:]), w.flatten(0, 1), resample_filter, groups=n, **resampling
        )
        y = y.reshape(n, o, *y.shape[2:])
    else:
        y = conv2d_resample(x * styles[:, :, None, None], weight, resample_filter, **resampling)
        if coefficients is not None:
            y = y * coefficients[:, :, None, None]
    return y if noise is None else y + noise


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
