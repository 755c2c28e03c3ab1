"""What the augmentation pipe does to pixels, given matrices and filters: differentiable twice."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vesselforge.generator.augment.affine import scale2d, translate2d
from vesselforge.generator.augment.bilinear import sample_bilinear
from vesselforge.generator.networks.fir import downsample2d, upsample2d


def resample(images: Tensor, inverse: Tensor, low_pass: Tensor) -> Tensor:
    """Apply `inverse` `[N, 3, 3]` (output → input, pixels about the centre) without aliasing.

    Reflect-pad, enlarge twofold, sample bilinearly, shrink twofold (ADA paper, appendix B).
    """
    n, c, h, w = images.shape
    taps = low_pass.shape[0] // 4
    x0, y0, x1, y1 = _margins(inverse, w, h, taps)
    images = F.pad(images, [x0, x1, y0, y1], mode="reflect")
    inverse = _like(translate2d((x0 - x1) / 2, (y0 - y1) / 2), inverse) @ inverse
    images = upsample2d(images, low_pass, up=2)
    inverse = _like(scale2d(2, 2), inverse) @ inverse @ _like(scale2d(0.5, 0.5), inverse)
    half = _like(translate2d(-0.5, -0.5), inverse)
    inverse = half @ inverse @ _like(translate2d(0.5, 0.5), inverse)
    out_h, out_w = (h + taps * 2) * 2, (w + taps * 2) * 2
    to_unit = _like(scale2d(2 / images.shape[3], 2 / images.shape[2]), inverse)
    inverse = to_unit @ inverse @ _like(scale2d(out_w / 2, out_h / 2), inverse)
    theta = inverse[:, :2].to(images.device, non_blocking=True)
    grid = F.affine_grid(theta, [n, c, out_h, out_w], align_corners=False)
    images = sample_bilinear(images, grid)
    return downsample2d(images, low_pass, down=2, padding=-taps * 2, flip_filter=True)


def _like(m: Tensor, other: Tensor) -> Tensor:
    return m.to(other)


def _margins(inverse: Tensor, w: int, h: int, taps: int) -> tuple[int, int, int, int]:
    """Return how far (left, top, right, bottom) any image of the batch is looked up outside."""
    cx, cy = (w - 1) / 2, (h - 1) / 2
    corners = torch.tensor([[-cx, cx, cx, -cx], [-cy, -cy, cy, cy], [1.0, 1.0, 1.0, 1.0]]).to(
        inverse
    )
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
