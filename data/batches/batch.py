"""A training batch: images and what is known of each of their pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vesselforge.configs.errors import DataError
from vesselforge.data.imageset import LoadedImage


@dataclass(frozen=True)
class Batch:
    """image [N, 3, H, W]; target [N, 1, H, W]: vessel probability or mask; fov [N, 1, H, W]: 1 in
    the field of view; weight [N, 1, H, W]: how much each pixel's target is trusted, None: all
    alike. Floats in [0, 1], or all of them bytes, 255 for 1. A single image has no N.
    """

    image: Tensor
    target: Tensor
    fov: Tensor
    weight: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same change of every one that is there."""
        return self.framed(lambda x, _: change(x))

    def framed(self, change: Callable[[Tensor, int], Tensor]) -> Batch:
        """The same for a change of bytes that is told what lies outside: zeros, of which nobody
        doubts that they are no vessel (weight 255)."""
        weight = None if self.weight is None else change(self.weight, 255)
        return Batch(change(self.image, 0), change(self.target, 0), change(self.fov, 0), weight)

    def tensors(self) -> list[Tensor]:
        """Those that are there, in the order of the fields."""
        weight = [] if self.weight is None else [self.weight]
        return [self.image, self.target, self.fov, *weight]

    def floats(self) -> Batch:
        """Bytes as floats in [0, 1]; floats as they are."""
        return self.each(lambda x: x.float().div_(255) if x.dtype == torch.uint8 else x)

    def weighted(self) -> Batch:
        """With weights: full ones where there were none."""
        if self.weight is not None:
            return self
        full = 255 if self.target.dtype == torch.uint8 else 1
        return replace(self, weight=torch.full_like(self.target, full))


def joined(
    batches: Sequence[Batch], join: Callable[[tuple[Tensor, ...]], Tensor] = torch.cat
) -> Batch:
    """Several as one; where one of them has weights, all have. join: torch.stack for images."""
    if any(batch.weight is not None for batch in batches):
        batches = [batch.weighted() for batch in batches]
    return Batch(*map(join, zip(*(batch.tensors() for batch in batches), strict=True)))


def of_images(images: Sequence[LoadedImage]) -> list[Batch]:
    """Each image, without N, as bytes. Raises DataError for no image, and for one without a
    target."""
    if not images:
        raise DataError("found no training image, expected at least one")
    found = []
    for image in images:
        if image.target is None:
            raise DataError(f"image {image.id!r} has no vessel mask, training needs one")
        target, fov = (torch.tensor(x)[None] for x in (image.target, image.fov.astype("u1") * 255))
        weight = None if image.weight is None else torch.tensor(image.weight)[None]
        found.append(Batch(torch.tensor(image.image).permute(2, 0, 1), target, fov, weight))
    return found
