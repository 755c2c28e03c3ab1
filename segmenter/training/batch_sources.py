"""Where training batches come from: random crops, or the papers' pool, at one or more sizes; of
one set of images, or of a real and a synthetic one in every batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import FitSettings
from vesselforge.data.batches.augment import rescaled
from vesselforge.data.batches.batch import Batch, joined
from vesselforge.data.batches.sources import CropSource, PoolSource
from vesselforge.data.imageset import LoadedImage

SYNTHETIC_STREAM = 1
"""Of the synthetic crops' random numbers; the real ones have stream 0."""


class Source(Protocol):
    """Where training batches come from: a pure function of the step."""

    def batch_at(self, step: int) -> Batch:
        """Floats; weights where images have some."""
        ...


def source_of(
    settings: FitSettings,
    images: list[LoadedImage],
    multiple: int,
    synthetic: list[LoadedImage] | None = None,
) -> Source:
    """The source that the settings describe. multiple: of height and width, for the network.

    synthetic: a second set of images, of which every batch has `synthetic_share`. Raises
    ConfigError for a second set where the source is the pool or the batch has no room for it.
    """
    source: Source
    if synthetic is not None:
        source = _mixed(settings, images, synthetic)
    elif settings.source == "pool":
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


def _mixed(
    settings: FitSettings, images: list[LoadedImage], synthetic: list[LoadedImage]
) -> Source:
    if settings.source == "pool":
        raise ConfigError(
            "source: found `pool` with a second, synthetic set of images, expected `crops`; mixed "
            "batches are made of crops"
        )
    part = synthetic_crops(settings)
    real = CropSource(images, settings.crop, settings.batch - part, settings.seed, settings.augment)
    made = CropSource(
        synthetic,
        settings.crop,
        part,
        settings.seed,
        settings.synthetic_augment or settings.augment,
        SYNTHETIC_STREAM,
    )
    return Mixed(real, made)


def synthetic_crops(settings: FitSettings) -> int:
    """How many crops of a mixed batch are synthetic: batch · share, but at least one of each kind.

    Raises ConfigError for a batch of one."""
    if settings.batch < 2:
        raise ConfigError(
            "batch: found 1 with a second, synthetic set of images, expected at least 2; every "
            "batch has both kinds"
        )
    return min(max(round(settings.batch * settings.synthetic_share), 1), settings.batch - 1)


class Mixed:
    """Batches of two sources, one below the other: the real images first."""

    def __init__(self, real: Source, synthetic: Source) -> None:
        self.real, self.synthetic = real, synthetic

    def batch_at(self, step: int) -> Batch:
        return joined([self.real.batch_at(step), self.synthetic.batch_at(step)])


class Scaled:
    """Every batch of a source at several sizes, one after the other (U-Net v2: 0.75, 1, 1.25)."""

    def __init__(self, source: Source, scales: Sequence[float]) -> None:
        self.source, self.scales = source, scales

    def batch_at(self, step: int) -> Batch:
        which, turn = divmod(step, len(self.scales))
        return rescaled(self.source.batch_at(which), self.scales[turn])
