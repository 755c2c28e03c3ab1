"""Random changes of a batch's colours and sharpness: inside the FOV, never of what is where."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vesselforge.configs.settings import AugmentSettings
from vesselforge.data.batches.batch import Batch

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in what the eye takes for brightness."""
CELL, CELLS = 8, 5
"""A vessel's surroundings: 5 × 5 cells of 8 px, several times the widest vessel (10 px at 565)."""


def recolour(batch: Batch, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """The images [N, 3, H, W] in [0, 1], each changed in its own way; outside the FOV as they were.

    In this order: vessel contrast, gamma, saturation, hue, contrast, brightness, blur, noise; then
    clamped to [0, 1]. What is off draws nothing, so that the others draw what they would without.
    """
    images, n = batch.image, len(batch.image)
    fov = torch.ones_like(batch.target) if batch.fov is None else batch.fov
    x = images
    if settings.vessel_contrast:
        factor = _factor(n, settings.vessel_contrast, generator)
        x = with_vessel_contrast(x, batch.target, fov, factor)
    if settings.gamma or settings.channel_gamma:
        gamma = _factor(n, settings.gamma, generator) if settings.gamma else torch.ones(n, 1, 1, 1)
        if settings.channel_gamma:
            own = _factor(3 * n, settings.channel_gamma, generator)
            gamma = gamma * own.view(n, 3, 1, 1)
        x = x.clamp(min=1e-4) ** gamma
    if settings.saturation:
        grey = (x * torch.tensor(GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
        x = grey + (x - grey) * _factor(n, settings.saturation, generator)
    if settings.hue:
        x = with_hue(x, uniform(n, -settings.hue, settings.hue, generator))
    if settings.contrast:
        covered = fov.sum(dim=(1, 2, 3), keepdim=True).clamp(min=1) * x.shape[1]
        mean = (x * fov).sum(dim=(1, 2, 3), keepdim=True) / covered
        x = mean + (x - mean) * _factor(n, settings.contrast, generator)
    if settings.brightness:
        x = x + uniform(n, -settings.brightness, settings.brightness, generator)
    if settings.blur:
        x = blurred(x, uniform(n, 0, settings.blur, generator), settings.blur)
    if settings.noise:
        x = x + uniform(n, 0, settings.noise, generator) * torch.randn(x.shape, generator=generator)
    if x is images:
        return images
    return torch.where(fov > 0, x.clamp(0, 1), images)


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """[N, 1, 1, 1] in [low, high)."""
    return low + (high - low) * torch.rand(n, 1, 1, 1, generator=generator)


def _factor(n: int, reach: float, generator: torch.Generator) -> Tensor:
    """[N, 1, 1, 1] in 1 ± reach."""
    return uniform(n, 1 - reach, 1 + reach, generator)


def with_vessel_contrast(x: Tensor, vessels: Tensor, fov: Tensor, factor: Tensor) -> Tensor:
    """x with vessels `factor` [N, 1, 1, 1] times as far from their surroundings in each channel.

    vessels [N, 1, H, W] in [0, 1]; a soft value gets its part of the change. The surroundings are
    the mean of FOV pixels that are no vessel, over about 40 px; a vessel without any stays as it
    is, and so does what is no vessel.
    """
    height, width = x.shape[-2:]
    ground = (1 - vessels) * fov
    sums = torch.cat([x * ground, ground], dim=1)
    # Cells first: a box of 40 px at every pixel would take 60 times as long.
    sums = F.avg_pool2d(sums, CELL, ceil_mode=True)
    sums = F.avg_pool2d(sums, CELLS, 1, CELLS // 2, count_include_pad=False)
    sums = F.interpolate(sums, scale_factor=float(CELL), mode="bilinear", align_corners=False)
    total, weight = sums[..., :height, :width].split([x.shape[1], 1], dim=1)
    around = torch.where(weight > 1e-6, total / weight.clamp(min=1e-6), x)
    return x + vessels * (factor - 1) * (x - around)


def with_hue(x: Tensor, degrees: Tensor) -> Tensor:
    """x [N, 3, H, W] turned about the grey axis by `degrees` [N, 1, 1, 1]; 120 takes red to green.

    The mean of the three channels stays.
    """
    angle = degrees.deg2rad()
    mean = x.mean(dim=1, keepdim=True)
    across = (x.roll(1, dims=1) - x.roll(-1, dims=1)) / math.sqrt(3)  # (1, 1, 1)/√3 × x
    return mean + (x - mean) * angle.cos() + across * angle.sin()


def blurred(x: Tensor, sd: Tensor, most: float) -> Tensor:
    """x [N, C, H, W] under a Gaussian of `sd` [N, 1, 1, 1] ≤ `most` pixels, the border repeated."""
    (n, channels, _, width), reach = x.shape, math.ceil(3 * most)
    offset = torch.arange(-reach, reach + 1)
    kernel = torch.exp(-(offset**2) / (2 * sd.view(n, 1).clamp(min=1e-3) ** 2))
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)
    planes = F.pad(x, (reach,) * 4, mode="replicate").view(1, n * channels, -1, width + 2 * reach)
    planes = F.conv2d(planes, kernel[:, None, :, None], groups=n * channels)
    return F.conv2d(planes, kernel[:, None, None, :], groups=n * channels).view_as(x)
