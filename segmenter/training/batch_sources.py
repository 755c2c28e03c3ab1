"""Where training batches come from: random crops, or the papers' pool, at one or more sizes; of
one set of images, or of a real and a synthetic one in every batch."""

from __future__ import annotations

from vesselforge.configs.settings import FitSettings
from vesselforge.data.batches.augment import rescaled
from vesselforge.data.batches.batch import Batch, joined
from vesselforge.data.batches.sources import CropSource, PoolSource
from vesselforge.data.imageset import LoadedImage

SYNTHETIC_STREAM = 1
"""Of the synthetic crops' random numbers; the real ones have stream 0."""


class Batches:
    """The batches that the settings describe, a pure function of the step.

    multiple: of height and width, for the network. synthetic: a second set of images, of which
    every batch has `synthetic_share`, below the real ones.
    """

    def __init__(
        self,
        settings: FitSettings,
        multiple: int,
        images: list[LoadedImage],
        synthetic: list[LoadedImage] | None = None,
    ) -> None:
        self.scales, crop, seed = settings.scales, settings.crop, settings.seed
        self.sources: list[CropSource | PoolSource] = []
        if synthetic is not None:
            part, augment = synthetic_crops(settings), settings.synthetic_augment
            made = (part, seed, augment or settings.augment, SYNTHETIC_STREAM)
            real = CropSource(images, crop, settings.batch - part, seed, settings.augment)
            self.sources = [real, CropSource(synthetic, crop, *made)]
        elif settings.source == "pool":
            padding = settings.pad, settings.pad_position, multiple
            self.sources = [PoolSource(images, settings.batch, seed, *padding)]
        else:
            self.sources = [CropSource(images, crop, settings.batch, seed, settings.augment)]

    def batch_at(self, step: int) -> Batch:
        """Floats; weights where images have some. Every batch comes at each of the scales, one
        after the other (U-Net v2: 0.75, 1, 1.25)."""
        which, turn = divmod(step, len(self.scales))
        parts = [source.batch_at(which) for source in self.sources]
        batch = joined(parts) if len(parts) > 1 else parts[0]
        return rescaled(batch, self.scales[turn])


def synthetic_crops(settings: FitSettings) -> int:
    """How many crops of a mixed batch are synthetic: batch · share, but at least one of each kind.

    Of settings that passed `check_mixed`: no pool, no batch of one."""
    return min(max(round(settings.batch * settings.synthetic_share), 1), settings.batch - 1)
