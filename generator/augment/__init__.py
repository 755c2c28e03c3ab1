"""Adaptive discriminator augmentation: what happens to the images."""

from vesselforge.generator.augment.pipe import AUGMENT_PRESETS, AugmentPipe, permitted

__all__ = ["AUGMENT_PRESETS", "AugmentPipe", "permitted"]
