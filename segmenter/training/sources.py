"""Where training batches come from: random crops, or the papers' pool, at one or more sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from configs.settings import FitSettings
from data.augment import rescaled, scaled_side
from data.crops import CropSource
from data.imageset import LoadedImage
from data.pool import PoolSource


class Source(Protocol):
    """Where training batches come from: a pure function of the step."""

    def batch_at(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """(images [N, 3, h, w] in [0, 1], targets [N, 1, h, w] in [0, 1], fov [N, 1, h, w])."""
        ...


def source_of(settings: FitSettings, images: list[LoadedImage], multiple: int) -> Source:
    """The source that the settings describe. multiple: of height and width, for the network."""
    source: Source
    if settings.source == "pool":
        source = PoolSource(
            images,
            settings.batch,
            settings.seed,
            settings.pad,
            settings.pad_position,
            multiple,
        )
    else:
        source = CropSource(images, settings.crop, settings.batch, settings.seed, settings.augment)
    return source if settings.scales == [1.0] else Scaled(source, settings.scales)


class Scaled:
    """Every batch of a source at several sizes, one after the other (U-Net v2: 0.75, 1, 1.25)."""

    def __init__(self, source: Source, scales: Sequence[float]) -> None:
        self.source, self.scales = source, scales

    def batch_at(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        which, turn = divmod(step, len(self.scales))
        batch = self.source.batch_at(which)
        height, width = (scaled_side(n, self.scales[turn]) for n in batch[0].shape[-2:])
        return rescaled(*batch, (height, width))
