"""Generator and discriminator of StyleGAN2-ADA and the operations that they are made of."""

from vesselforge.generator.networks.discriminator import (
    Discriminator,
    DiscriminatorBlock,
    DiscriminatorEpilogue,
)
from vesselforge.generator.networks.generator import Generator, count_parameters
from vesselforge.generator.networks.layers import Conv2dLayer, FullyConnectedLayer
from vesselforge.generator.networks.mapping import MappingNetwork
from vesselforge.generator.networks.synthesis import (
    SynthesisBlock,
    SynthesisLayer,
    SynthesisNetwork,
    ToRGBLayer,
)

__all__ = [
    "Conv2dLayer",
    "Discriminator",
    "DiscriminatorBlock",
    "DiscriminatorEpilogue",
    "FullyConnectedLayer",
    "Generator",
    "MappingNetwork",
    "SynthesisBlock",
    "SynthesisLayer",
    "SynthesisNetwork",
    "ToRGBLayer",
    "count_parameters",
]
