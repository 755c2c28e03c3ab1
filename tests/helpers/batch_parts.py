"""Batches as three tensors, for tests that change and compare these."""

from __future__ import annotations

import torch
from torch import Tensor

from vesselforge.configs.settings import AugmentSettings
from vesselforge.data.batches import augment as changes
from vesselforge.data.batches.batch import Batch

OFF = AugmentSettings(
    flip=False, warp_share=0, rotate_deg=0, zoom=(1, 1), brightness=0, contrast=0, saturation=0,
    gamma=0, noise=0,
)  # fmt: skip
"""No change at all: crops as they are."""
Parts = tuple[Tensor, Tensor, Tensor]


def parts(batch: Batch) -> Parts:
    """(images, targets, fields of view)."""
    return batch.image, batch.target, batch.fov


def augment(
    images: Tensor,
    targets: Tensor,
    fov: Tensor,
    settings: AugmentSettings,
    generator: torch.Generator,
    size: int | None = None,
) -> Parts:
    return parts(changes.augment(Batch(images, targets, fov), settings, generator, size))


def recolour(
    images: Tensor,
    targets: Tensor,
    fov: Tensor,
    settings: AugmentSettings,
    generator: torch.Generator,
) -> Tensor:
    return changes.recolour(Batch(images, targets, fov), settings, generator)


def rescaled(images: Tensor, targets: Tensor, fov: Tensor, factor: float) -> Parts:
    return parts(changes.rescaled(Batch(images, targets, fov), factor))
