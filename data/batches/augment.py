"""Random changes of training crops: all on tensors, a batch at a time, drawn from one generator."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vesselforge.configs.settings import AugmentSettings
from vesselforge.data.batches.batch import Batch

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in what the eye takes for brightness."""
CELL, CELLS = 8, 5
"""A vessel's surroundings: 5 × 5 cells of 8 px, several times the widest vessel (10 px at 565)."""
SPARSE = 1.25
"""From this zoom on a pixel of the crop is the mean of 2 × 2 samples, or vessels of one and two
pixels would fall through between samples."""


def augment(
    whole: Batch, settings: AugmentSettings, generator: torch.Generator, size: int | None = None
) -> Batch:
    """The same batch as floats, each image changed in its own way.

    whole: floats, or bytes, of which fewer need to be moved. size: side of the central square that
    is returned, default H × W; with a margin of `margin(size, settings)` no rotation reaches past
    the input. A hard mask stays hard, and so does a weight of 0 or 1; outside the input all are 0.
    Colours change inside the FOV only.
    """
    if settings.flip:
        whole = _mirrored(whole, generator)
    chosen = torch.zeros(len(whole.image)).bool()
    if warps(settings):
        chosen = uniform(len(chosen), 0, 1, generator).flatten() < settings.warp_share
    batch = (whole if size is None else whole.each(lambda x: _centre(x, size))).floats()
    if chosen.any():
        batch = _warped(batch, whole, chosen.nonzero()[:, 0], settings, generator)
    return replace(batch, image=recolour(batch, settings, generator))


def rescaled(batch: Batch, factor: float) -> Batch:
    """The same batch with sides × factor, to the nearest multiple of 32: 256, 448 of 352 at 0.75,
    1.25 (multi-scale training of U-Net v2); at 1 the same batch. Images bilinear, targets (with
    their weights) and FOV nearest, so that what was hard stays hard. A vessel of one pixel may be
    lost at a smaller size, as it is there."""
    if factor == 1:
        return batch
    size = [max(32, round(side * factor / 32) * 32) for side in batch.image.shape[-2:]]
    smooth = F.interpolate(batch.image, size, mode="bilinear", align_corners=False)
    # "nearest" takes the first of the pixels a new one covers, half a pixel off; this the middle.
    labels = batch.each(lambda x: F.interpolate(x, size, mode="nearest-exact"))
    return replace(labels, image=smooth)


def warps(settings: AugmentSettings) -> bool:
    """Whether any crop is resampled."""
    return settings.warp_share > 0 and (settings.rotate_deg > 0 or settings.zoom != (1, 1))


def margin(size: int, settings: AugmentSettings) -> int:
    """Side of the input square that a central square of `size` can be filled from."""
    if not warps(settings):
        return size
    angle = math.radians(min(settings.rotate_deg, 45.0))
    reach = (math.cos(angle) + math.sin(angle)) * settings.zoom[1]
    side = max(size, math.ceil(size * reach) + 4)  # bicubic looks two pixels further
    return side + (side - size) % 2  # equal borders: the centres of both squares agree


def _mirrored(batch: Batch, generator: torch.Generator) -> Batch:
    """Each image mirrored left-right, top-bottom, about the diagonal (a square only), each with
    probability one half: together the 8 symmetries of the square, quarter turns included."""
    n, _, height, width = batch.image.shape
    axes = [uniform(n, 0, 1, generator).flatten() < 0.5 for _ in range(2 + (height == width))]
    turns = torch.stack(axes, dim=1).tolist()
    # Columns first in memory, as ever: the mean behind `contrast` rounds by that order.
    return batch.each(
        lambda x: torch.stack([_turned(one, *t).mT for one, t in zip(x, turns, strict=True)]).mT
    )


def _turned(x: Tensor, left_right: bool, top_bottom: bool, diagonal: bool = False) -> Tensor:
    x = x.flip([axis for axis, turned in ((-1, left_right), (-2, top_bottom)) if turned])
    return x.mT if diagonal else x


def _warped(
    batch: Batch, whole: Batch, rows: Tensor, settings: AugmentSettings, generator: torch.Generator
) -> Batch:
    """The batch with rotated and zoomed pieces of `whole` in the place of those rows.

    Only they are cut from their windows: at zoom 2 a window has eight times the pixels of its crop.
    """
    n, (height, width), size = len(rows), whole.image.shape[-2:], batch.image.shape[-2:]
    angle = uniform(n, -settings.rotate_deg, settings.rotate_deg, generator).view(n).deg2rad()
    (low, high), drawn = settings.zoom, uniform(n, 0, 1, generator).view(n)
    # Over more than an octave half is as likely as double.
    zoom = low + (high - low) * drawn if high <= 2 * low else low * (high / low) ** drawn
    cosine, sine, zero = zoom * angle.cos(), zoom * angle.sin(), torch.zeros(n)
    # From offsets in the output to offsets in the input, each in half sides of its own square.
    theta = torch.stack(
        [
            torch.stack([cosine * size[1] / width, -sine * size[0] / width, zero], dim=1),
            torch.stack([sine * size[1] / height, cosine * size[0] / height, zero], dim=1),
        ],
        dim=1,
    )  # [N, 2, 3]
    for part, fine in ((zoom <= SPARSE, 1), (zoom > SPARSE, 2)):
        if part.any():
            windows = Batch(*(x[rows[part]] for x in whole.tensors())).floats()
            sampled = _sampled(windows, theta[part], size, fine).tensors()
            pairs = zip(batch.tensors(), sampled, strict=True)
            # Copies have the order in memory that they had: losses round by it.
            batch = Batch(*(x.clone().index_copy_(0, rows[part], y) for x, y in pairs))
    return batch


def _sampled(batch: Batch, theta: Tensor, size: torch.Size, fine: int) -> Batch:
    """What lies where theta [N, 2, 3] points, at `size`, from `fine`² samples a pixel: image
    bicubic, target and weight bilinear, FOV nearest."""
    shape = [len(batch.image), 1, fine * size[0], fine * size[1]]
    grid = F.affine_grid(theta, shape, align_corners=False)

    def taken(x: Tensor, mode: str) -> Tensor:
        x = F.grid_sample(x, grid, mode=mode, align_corners=False)
        return F.avg_pool2d(x, fine) if fine > 1 else x

    def label(x: Tensor) -> Tensor:
        hard = ((x == 0) | (x == 1)).all(dim=(2, 3), keepdim=True)  # [N, 1, 1, 1]
        y = taken(x, "bilinear")
        return torch.where(hard, (y >= 0.5).to(y.dtype), y.clamp(0, 1))

    return Batch(
        taken(batch.image, "bicubic").clamp(0, 1),
        label(batch.target),
        (taken(batch.fov, "nearest") >= 0.5).float(),
        None if batch.weight is None else label(batch.weight),
    )


def _centre(x: Tensor, size: int) -> Tensor:
    top, left = (x.shape[-2] - size) // 2, (x.shape[-1] - size) // 2
    return x[..., top : top + size, left : left + size]


def recolour(batch: Batch, settings: AugmentSettings, generator: torch.Generator) -> Tensor:
    """The images [N, 3, H, W] in [0, 1], each changed in its own way; outside the FOV as they were.

    In this order: vessel contrast, gamma, saturation, hue, contrast, brightness, blur, noise; then
    clamped to [0, 1]. What is off draws nothing, so that the others draw what they would without.
    """
    x = images = batch.image
    n, fov = len(images), batch.fov
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
