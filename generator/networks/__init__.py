"""Generator and discriminator of StyleGAN2-ADA and the operations that they are made of."""

from vesselforge.generator.networks.discriminator import Discriminator
from vesselforge.generator.networks.generator import Generator, count_parameters

__all__ = ["Discriminator", "Generator", "count_parameters"]
