"""A training batch: images and what is known of each of their pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
        return Batch(
            change(self.image),
            change(self.target),
            None if self.weight is None else change(self.weight),
            None if self.fov is None else change(self.fov),
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
        return Batch(self.image, self.target, torch.full_like(self.target, full), self.fov)


def joined(batches: Sequence[Batch], join: Callable[[list[Tensor]], Tensor] = torch.cat) -> Batch:
    """Several as one; where one of them has weights, all have. join: torch.stack for images."""
    if any(batch.weight is not None for batch in batches):
        batches = [batch.weighted() for batch in batches]
    columns = zip(*(batch.tensors() for batch in batches), strict=True)
    tensors = [join(list(column)) for column in columns]
    weight = tensors.pop(2) if batches[0].weight is not None else None
    return Batch(tensors[0], tensors[1], weight, tensors[2] if len(tensors) > 2 else None)


def of_image(image: LoadedImage) -> Batch:
    """An image without N, as bytes. Raises DataError for one without a target."""
    if image.target is None:
        raise DataError(f"image {image.id!r} has no vessel mask, training needs one")
    layers = image.target, image.weight, image.fov.astype("u1") * 255
    target, weight, fov = (None if x is None else torch.tensor(x)[None] for x in layers)
    assert target is not None
    return Batch(torch.tensor(image.image).permute(2, 0, 1), target, weight, fov)
