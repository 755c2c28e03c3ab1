"""Random changes of training crops: all on tensors, a batch at a time, drawn from one generator."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vesselforge.configs.settings import AugmentSettings
from vesselforge.data.batches.batch import Batch
from vesselforge.data.batches.recolour import recolour, uniform

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
    n, _, height, width = whole.image.shape
    turns = None
    if settings.flip:
        # [N, 3] mirrored left-right, top-bottom, about the diagonal (a square only), each with
        # probability one half: together the 8 symmetries of the square, quarter turns included.
        axes = [uniform(n, 0, 1, generator).view(n) < 0.5 for _ in range(2 + (height == width))]
        turns = torch.stack([*axes, torch.zeros(n).bool()][:3], dim=1)
    chosen = torch.zeros(n).bool()
    if warps(settings):
        chosen = uniform(n, 0, 1, generator).view(n) < settings.warp_share
    plain = whole if size is None else whole.each(lambda x: _centre(x, size))
    batch = _mirrored(plain, torch.arange(n), turns)
    if chosen.any():
        batch = batch.each(torch.clone)
        _warp(batch, whole, chosen.nonzero()[:, 0], turns, settings, generator)
    return replace(batch, image=recolour(batch, settings, generator))


def rescaled(batch: Batch, size: int | tuple[int, int]) -> Batch:
    """The same batch at another size, a side or (height, width): images bilinear, targets (with
    their weights) and FOV nearest, so that what was hard stays hard (multi-scale training of
    U-Net v2). A vessel of one pixel may be lost at a smaller size, as it is there. The same size:
    the same batch."""
    height, width = (size, size) if isinstance(size, int) else size
    if batch.image.shape[-2:] == (height, width):
        return batch
    smooth = F.interpolate(batch.image, (height, width), mode="bilinear", align_corners=False)
    # "nearest" takes the first of the pixels a new one covers, half a pixel off; this the middle.
    labels = batch.each(lambda x: F.interpolate(x, (height, width), mode="nearest-exact"))
    return replace(labels, image=smooth)


def scaled_side(side: int, factor: float, multiple: int = 32) -> int:
    """side × factor to the nearest multiple: 256, 352, 448 of 352 at 0.75, 1, 1.25 (U-Net v2).

    A side that keeps its size is left alone."""
    return side if factor == 1 else max(multiple, round(side * factor / multiple) * multiple)


def warps(settings: AugmentSettings) -> bool:
    """Whether any crop is resampled."""
    changes = settings.rotate_deg > 0 or settings.zoom != (1, 1)
    return settings.warp_share > 0 and changes


def margin(size: int, settings: AugmentSettings) -> int:
    """Side of the input square that a central square of `size` can be filled from."""
    if not warps(settings):
        return size
    angle = math.radians(min(settings.rotate_deg, 45.0))
    reach = (math.cos(angle) + math.sin(angle)) * settings.zoom[1]
    side = max(size, math.ceil(size * reach) + 4)  # bicubic looks two pixels further
    return side + (side - size) % 2  # equal borders: the centres of both squares agree


def _mirrored(batch: Batch, rows: Tensor, turns: Tensor | None) -> Batch:
    """The images of those numbers, mirrored as `turns` says, as floats."""

    def mirrored(x: Tensor) -> Tensor:
        if turns is None:
            return x[rows] if len(rows) < len(x) else x
        each = zip(rows.tolist(), turns[rows].tolist(), strict=True)
        # Columns first in memory, as ever: the mean behind `contrast` rounds by that order.
        return torch.stack([_turned(x[row], *turn).mT for row, turn in each]).mT

    return batch.each(mirrored).floats()


def _turned(x: Tensor, left_right: bool, top_bottom: bool, diagonal: bool) -> Tensor:
    x = x.flip([axis for axis, turned in ((-1, left_right), (-2, top_bottom)) if turned])
    return x.transpose(-1, -2) if diagonal else x


def _warp(
    batch: Batch,
    whole: Batch,
    rows: Tensor,
    turns: Tensor | None,
    settings: AugmentSettings,
    generator: torch.Generator,
) -> None:
    """Put rotated and zoomed pieces of `whole` in the place of those rows of the batch.

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
            windows = _mirrored(whole, rows[part], turns)
            sampled = _sampled(windows, theta[part], size, fine).tensors()
            for x, values in zip(batch.tensors(), sampled, strict=True):
                x[rows[part]] = values


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
        None if batch.weight is None else label(batch.weight),
        None if batch.fov is None else (taken(batch.fov, "nearest") >= 0.5).float(),
    )


def _centre(x: Tensor, size: int) -> Tensor:
    top, left = (x.shape[-2] - size) // 2, (x.shape[-1] - size) // 2
    return x[..., top : top + size, left : left + size]
