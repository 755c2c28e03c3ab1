"""What the augmentation pipe does to pixels, by matrices and filters: differentiable twice.

Matrices of homogeneous coordinates are `[N, 3, 3]` and `[N, 4, 4]`.

R1 and path length differentiate gradients that pass through the augmentation. PyTorch before 2.13
has no derivative of the backward pass of `grid_sample`, on any device. None is needed: sampling is
linear in the images, its backward pass is the adjoint, and the adjoint of that is sampling again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vesselforge.generator.networks.fir import downsample2d, upsample2d

Entry = float | Tensor
Map = Callable[[Tensor], Tensor]
BILINEAR, ZEROS = 0, 0
"""Numbers of the modes inside PyTorch."""
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
"""Wavelet filters, as tabulated by PyWavelets: low-pass; not symmetric, so the orientation
matters."""


def matrix(*rows: list[Entry]) -> Tensor:
    """Stack entries, numbers or tensors `[N]`, into matrices; of numbers alone one, `[n, n]`."""
    entries = [entry for row in rows for entry in row]
    device = next((entry.device for entry in entries if isinstance(entry, Tensor)), None)
    numbers = [torch.as_tensor(e, dtype=torch.float32, device=device) for e in entries]
    whole = torch.stack(torch.broadcast_tensors(*numbers), dim=-1)
    return whole.reshape(*whole.shape[:-1], len(rows), -1)


def translate2d(x: Entry, y: Entry) -> Tensor:
    """Move by (x, y)."""
    return matrix([1, 0, x], [0, 1, y], [0, 0, 1])


def scale2d(x: Entry, y: Entry) -> Tensor:
    """Stretch by (x, y) about the origin."""
    return matrix([x, 0, 0], [0, y, 0], [0, 0, 1])


def rotate2d(theta: Tensor) -> Tensor:
    """Rotate by theta radians, from the x axis towards the y axis."""
    c, s = theta.cos(), theta.sin()
    return matrix([c, -s, 0], [s, c, 0], [0, 0, 1])


def rotate_about_gray(theta: Tensor) -> Tensor:
    """Rotate by theta radians about the axis (1, 1, 1): a shift of hue (Rodrigues' formula)."""
    v = 1 / math.sqrt(3)
    c, s = theta.cos(), theta.sin()
    same, up, down = v * v * (1 - c) + c, v * v * (1 - c) + v * s, v * v * (1 - c) - v * s
    return matrix([same, down, up, 0], [up, same, down, 0], [down, up, same, 0], [0, 0, 0, 1])


def resample(images: Tensor, inverse: Tensor, low_pass: Tensor) -> Tensor:
    """Apply `inverse` `[N, 3, 3]` (output → input, pixels about the centre) without aliasing.

    Reflect-pad, enlarge twofold, sample bilinearly, shrink twofold (ADA paper, appendix B).
    """
    n, c, h, w = images.shape
    taps, inverse = low_pass.shape[0] // 4, inverse.cpu()
    x0, y0, x1, y1 = _margins(inverse, w, h, taps)
    images = F.pad(images, [x0, x1, y0, y1], mode="reflect")
    inverse = translate2d((x0 - x1) / 2, (y0 - y1) / 2) @ inverse
    images = upsample2d(images, low_pass)
    inverse = scale2d(2, 2) @ inverse @ scale2d(0.5, 0.5)
    inverse = translate2d(-0.5, -0.5) @ inverse @ translate2d(0.5, 0.5)
    out_h, out_w = (h + taps * 2) * 2, (w + taps * 2) * 2
    to_unit = scale2d(2 / images.shape[3], 2 / images.shape[2])
    inverse = to_unit @ inverse @ scale2d(out_w / 2, out_h / 2)
    theta = inverse[:, :2].to(images, non_blocking=True)
    images = sample_bilinear(images, F.affine_grid(theta, [n, c, out_h, out_w], False))
    return downsample2d(images, low_pass.flip(0), padding=-taps * 2)


def _margins(inverse: Tensor, w: int, h: int, taps: int) -> tuple[int, int, int, int]:
    """Return how far (left, top, right, bottom) any image of the batch is looked up outside."""
    cx, cy = (w - 1) / 2, (h - 1) / 2
    corners = torch.tensor([[-cx, cx, cx, -cx], [-cy, -cy, cy, cy], [1.0, 1.0, 1.0, 1.0]])
    reached = (inverse @ corners)[:, :2]  # [N, 2, 4]
    (right, bottom), (left, top) = reached.amax([0, 2]).tolist(), reached.amin([0, 2]).tolist()
    sides = zip((-left, -top, right, bottom), (cx, cy, cx, cy), (w, h, w, h), strict=True)
    found = [math.ceil(min(max(far + taps * 2 - c, 0), size - 1)) for far, c, size in sides]
    return found[0], found[1], found[2], found[3]


def recolour(images: Tensor, colour: Tensor) -> Tensor:
    """Apply `[N, 4, 4]` colour matrices to the first three channels, or to the first one as grey;
    what comes after (alpha, a mask) is left alone."""
    n, c, h, w = images.shape
    flat = images.reshape(n, c, h * w)
    coloured = 3 if c >= 3 else 1
    if coloured == 1:
        mean = colour[:, :3].mean(dim=1, keepdim=True)  # [N, 1, 4]
        changed = flat[:, :1] * mean[:, :, :3].sum(dim=2, keepdim=True) + mean[:, :, 3:]
    else:
        changed = colour[:, :3, :3] @ flat[:, :3] + colour[:, :3, 3:]
    flat = changed if c == coloured else torch.cat([changed, flat[:, coloured:]], dim=1)
    return flat.reshape(n, c, h, w)


def filter_rows_and_columns(images: Tensor, taps: Tensor) -> Tensor:
    """Correlate every image with its own `taps` `[N, T]` along x and y, reflecting borders."""
    n, c, h, w = images.shape
    reach = taps.shape[1] // 2
    if min(h, w) <= reach:
        raise ValueError(f"the filter augmentation needs images larger than {reach} pixels")
    kernel = taps.repeat_interleave(c, dim=0)[:, None]  # [N·C, 1, T]
    x = F.pad(images, [reach] * 4, mode="reflect").reshape(1, n * c, h + 2 * reach, w + 2 * reach)
    x = F.conv2d(x, kernel[:, :, None, :], groups=n * c)
    x = F.conv2d(x, kernel[:, :, :, None], groups=n * c)
    return x.reshape(n, c, h, w)


def sample_bilinear(images: Tensor, grid: Tensor) -> Tensor:
    """[N, C, h, w] the images [N, C, H, W] at `grid` [N, h, w, 2], in [−1, 1] from the outer edge
    of the first pixel to that of the last; zero outside. The grid gets no gradient."""
    size = images.shape

    def sample(x: Tensor) -> Tensor:
        return F.grid_sample(x, grid, "bilinear", "zeros", align_corners=False)

    def spread(samples: Tensor) -> Tensor:
        """Every sample goes back to the pixels that it came from."""
        values = samples.new_zeros(size)  # count for the grid's gradient alone
        gradient: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            samples, values, grid, BILINEAR, ZEROS, False, [True, False]
        )[0]
        return gradient

    sampled: Tensor = _Linear.apply(images, sample, spread)
    return sampled


class _Linear(torch.autograd.Function):
    """A linear map, given with its adjoint: each is the other's derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Map, adjoint: Map) -> Tensor:
        ctx.swapped = adjoint, function
        return function(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _Linear.apply(grads[0], *ctx.swapped), None, None


def filter_bank() -> NDArray[np.float64]:
    """Return `[4, 43]`: zero-phase band filters, lowest first, that add up to the identity."""
    low = np.asarray(SYM2)
    high = low * (-1.0) ** np.arange(low.size)
    low_pass = np.convolve(low, low[::-1]) / 2
    band_pass = np.convolve(high, high[::-1]) / 2
    bank = np.eye(4, 1)
    for i in range(1, 4):
        spread = np.zeros((4, bank.shape[1] * 2 - 1))
        spread[:, ::2] = bank
        bank = np.stack([np.convolve(row, low_pass) for row in spread])
        start = (bank.shape[1] - band_pass.size) // 2
        bank[i, start : start + band_pass.size] += band_pass
    return bank
