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
    """image [N, 3, H, W]; target [N, 1, H, W]: vessel probability or mask; weight [N, 1, H, W]: how
    much each pixel's target is trusted, None: all alike; fov [N, 1, H, W]: 1 in the field of view,
    None: everywhere. Floats in [0, 1], or all of them bytes, 255 for 1. A single image has no N.
    """

    image: Tensor
    target: Tensor
    weight: Tensor | None = None
    fov: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same change of every one that is there."""
        return self.framed(lambda x, _: change(x))

    def framed(self, change: Callable[[Tensor, int], Tensor]) -> Batch:
        """The same for a change of bytes that is told what lies outside: zeros, of which nobody
        doubts that they are no vessel (weight 255)."""
        return Batch(
            change(self.image, 0),
            change(self.target, 0),
            None if self.weight is None else change(self.weight, 255),
            None if self.fov is None else change(self.fov, 0),
        )

    def tensors(self) -> list[Tensor]:
        """Those that are there, in the order of the fields."""
        every = (self.image, self.target, self.weight, self.fov)
        return [tensor for tensor in every if tensor is not None]

    def floats(self) -> Batch:
        """Bytes as floats in [0, 1]; floats as they are."""
        return self.each(lambda x: x.float().div_(255) if x.dtype == torch.uint8 else x)

    def weighted(self) -> Batch:
        """With weights: full ones where there were none."""
        if self.weight is not None:
            return self
        full = 255 if self.target.dtype == torch.uint8 else 1
        return replace(self, weight=torch.full_like(self.target, full))


def joined(batches: Sequence[Batch], join: Callable[[list[Tensor]], Tensor] = torch.cat) -> Batch:
    """Several as one; where one of them has weights, all have. join: torch.stack for images."""
    if any(batch.weight is not None for batch in batches):
        batches = [batch.weighted() for batch in batches]
    columns = zip(*(batch.tensors() for batch in batches), strict=True)
    tensors = iter([join(list(column)) for column in columns])
    return batches[0].each(lambda _: next(tensors))


def of_images(images: Sequence[LoadedImage]) -> list[Batch]:
    """Each image, without N, as bytes; where one of them has weights, all have. Raises DataError
    for no image, and for one without a target."""
    if not images:
        raise DataError("found no training image, expected at least one")
    found = []
    for image in images:
        if image.target is None:
            raise DataError(f"image {image.id!r} has no vessel mask, training needs one")
        layers = (image.target, image.fov.astype("u1") * 255)
        target, fov = (torch.tensor(layer)[None] for layer in layers)
        weight = None if image.weight is None else torch.tensor(image.weight)[None]
        found.append(Batch(torch.tensor(image.image).permute(2, 0, 1), target, weight, fov))
    weighted = any(image.weight is not None for image in images)
    return [one.weighted() for one in found] if weighted else found
