"""Adaptive discriminator augmentation: the pipe, and the controller of its strength."""

from vesselforge.generator.augment.pipe import AUGMENT_PRESETS, AugmentPipe, permitted
from vesselforge.generator.augment.strength import adjust_p

__all__ = ["AUGMENT_PRESETS", "AugmentPipe", "adjust_p", "permitted"]
