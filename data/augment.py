"""Random changes of training crops: all on tensors, a batch at a time, drawn from one generator."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from configs.settings import AugmentSettings

Batch = tuple[Tensor, Tensor, Tensor]
GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in what the eye takes for brightness."""


def augment(
    images: Tensor,
    targets: Tensor,
    fov: Tensor,
    settings: AugmentSettings,
    generator: torch.Generator,
    size: int | None = None,
) -> Batch:
    """The same three, each image changed in its own way.

    images [N, 3, H, W] in [0, 1]; targets [N, K, H, W] in [0, 1], vessel probability or mask and,
    with K = 2, the weight of each pixel; fov [N, 1, H, W], 0 or 1. size: side of the central
    square that is returned, default H × W; with a margin of `margin(size, settings)` no rotation
    reaches past the input. A hard mask stays hard, and so does a weight of 0 or 1; outside the
    input all three are 0. Colours change inside the FOV only.
    """
    if settings.flip:
        images, targets, fov = _flip((images, targets, fov), generator)
    if warps(settings):
        images, targets, fov = _warp_some((images, targets, fov), settings, generator, size)
    elif size is not None:
        images, targets, fov = (_centre(x, size) for x in (images, targets, fov))
    changed = _recolour(images, fov, settings, generator)
    return changed, targets, fov


def rescaled(images: Tensor, targets: Tensor, fov: Tensor, size: int | tuple[int, int]) -> Batch:
    """The same batch at another size, a side or (height, width): images bilinear, targets (with
    their weights) and FOV nearest, so that what was hard stays hard (multi-scale training of
    U-Net v2). A vessel of one pixel may be lost at a smaller size, as it is there. The same size:
    the same tensors."""
    height, width = (size, size) if isinstance(size, int) else size
    if images.shape[-2:] == (height, width):
        return images, targets, fov
    smooth = F.interpolate(images, (height, width), mode="bilinear", align_corners=False)
    # "nearest" takes the first of the pixels a new one covers, half a pixel off; this the middle.
    mask, field = (F.interpolate(x, (height, width), mode="nearest-exact") for x in (targets, fov))
    return smooth, mask, field


def scaled_side(side: int, factor: float, multiple: int = 32) -> int:
    """side × factor to the nearest multiple: 256, 352, 448 of 352 at 0.75, 1, 1.25 (U-Net v2).

    A side that keeps its size is left alone."""
    return side if factor == 1 else max(multiple, round(side * factor / multiple) * multiple)


def warps(settings: AugmentSettings) -> bool:
    """Whether any crop is resampled."""
    return settings.warp_share > 0 and (settings.rotate_deg > 0 or settings.scale > 0)


def margin(size: int, settings: AugmentSettings) -> int:
    """Side of the input square that a central square of `size` can be filled from."""
    if not warps(settings):
        return size
    angle = math.radians(min(settings.rotate_deg, 45.0))
    reach = (math.cos(angle) + math.sin(angle)) * (1 + settings.scale)
    side = math.ceil(size * reach) + 4  # bicubic looks two pixels further
    return side + (side - size) % 2  # equal borders: the centres of both squares agree


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """[N, 1, 1, 1] in [low, high)."""
    return low + (high - low) * torch.rand(n, 1, 1, 1, generator=generator)


def _flip(batch: Batch, generator: torch.Generator) -> Batch:
    """Each image mirrored left-right, top-bottom and about its diagonal (a square only), each
    with probability one half: together the 8 symmetries of the square, quarter turns included."""
    n, _, height, width = batch[0].shape
    mirrors = [lambda x: x.flip(-1), lambda x: x.flip(-2)]
    if height == width:
        mirrors.append(lambda x: x.transpose(-1, -2))
    for mirror in mirrors:
        turned = _uniform(n, 0, 1, generator) < 0.5
        a, b, c = (torch.where(turned, mirror(x), x) for x in batch)
        batch = a, b, c
    return batch


def _warp_some(
    batch: Batch, settings: AugmentSettings, generator: torch.Generator, size: int | None
) -> Batch:
    """`_warp` for a share of the images, the plain centre of the others."""
    n = len(batch[0])
    chosen = _uniform(n, 0, 1, generator).view(n) < settings.warp_share
    a, b, c = batch if size is None else (_centre(x, size) for x in batch)
    if chosen.any():
        whole = _warp(
            (batch[0][chosen], batch[1][chosen], batch[2][chosen]), settings, generator, size
        )
        a, b, c = (_replaced(x, chosen, y) for x, y in zip((a, b, c), whole, strict=True))
    return a, b, c


def _replaced(x: Tensor, chosen: Tensor, values: Tensor) -> Tensor:
    """A copy of x in which the chosen images are others."""
    x = x.clone()
    x[chosen] = values
    return x


def _warp(
    batch: Batch, settings: AugmentSettings, generator: torch.Generator, size: int | None
) -> Batch:
    """Rotation and zoom in one resampling: image bicubic, target bilinear, FOV nearest."""
    images, targets, fov = batch
    n, _, height, width = images.shape
    angle = _uniform(n, -settings.rotate_deg, settings.rotate_deg, generator).view(n).deg2rad()
    zoom = _uniform(n, 1 - settings.scale, 1 + settings.scale, generator).view(n)
    out_h, out_w = (height, width) if size is None else (size, size)
    cosine, sine, zero = zoom * angle.cos(), zoom * angle.sin(), torch.zeros(n)
    # From offsets in the output to offsets in the input, each in half sides of its own square.
    theta = torch.stack(
        [
            torch.stack([cosine * out_w / width, -sine * out_h / width, zero], dim=1),
            torch.stack([sine * out_w / height, cosine * out_h / height, zero], dim=1),
        ],
        dim=1,
    )  # [N, 2, 3]
    grid = F.affine_grid(theta, [n, 1, out_h, out_w], align_corners=False)
    hard = ((targets == 0) | (targets == 1)).all(dim=(2, 3), keepdim=True)  # [N, K, 1, 1]
    images = F.grid_sample(images, grid, mode="bicubic", align_corners=False).clamp(0, 1)
    targets = F.grid_sample(targets, grid, mode="bilinear", align_corners=False)
    targets = torch.where(hard, (targets >= 0.5).to(targets.dtype), targets.clamp(0, 1))
    fov = F.grid_sample(fov, grid, mode="nearest", align_corners=False)
    return images, targets, fov


def _centre(x: Tensor, size: int) -> Tensor:
    top, left = (x.shape[-2] - size) // 2, (x.shape[-1] - size) // 2
    return x[..., top : top + size, left : left + size]


def _recolour(
    images: Tensor, fov: Tensor, settings: AugmentSettings, generator: torch.Generator
) -> Tensor:
    """Gamma, saturation, contrast, brightness, noise, in this order; clamped to [0, 1]."""
    n, x = len(images), images
    if settings.gamma:
        x = x.clamp(min=1e-4) ** _uniform(n, 1 - settings.gamma, 1 + settings.gamma, generator)
    if settings.saturation:
        grey = (x * torch.tensor(GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
        x = grey + (x - grey) * _uniform(
            n, 1 - settings.saturation, 1 + settings.saturation, generator
        )
    if settings.contrast:
        covered = fov.sum(dim=(1, 2, 3), keepdim=True).clamp(min=1) * x.shape[1]
        mean = (x * fov).sum(dim=(1, 2, 3), keepdim=True) / covered
        x = mean + (x - mean) * _uniform(n, 1 - settings.contrast, 1 + settings.contrast, generator)
    if settings.brightness:
        x = x + _uniform(n, -settings.brightness, settings.brightness, generator)
    if settings.noise:
        x = x + _uniform(n, 0, settings.noise, generator) * torch.randn(
            x.shape, generator=generator
        )
    if x is images:
        return images
    return torch.where(fov > 0, x.clamp(0, 1), images)
