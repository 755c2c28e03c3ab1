"""What a generator.train artifact holds, and how its networks are built and loaded again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from configs.errors import CheckpointError
from configs.settings import GeneratorSettings
from data.checkpoints import load_strict, load_tensors
from generator.networks import Discriminator, Generator

DESCRIPTION = "generator.json"
FOV = "fov.png"
AVERAGE = "generator.safetensors"
"""G_ema, the network to sample from."""
CURRENT = "training.safetensors"
"""G itself, needed only to train on."""
CRITIC = "discriminator.safetensors"

Kwargs = dict[str, Any]
Pair = tuple[Kwargs, Kwargs]


def network_kwargs(settings: GeneratorSettings, channels: int = 3) -> Pair:
    """Return the constructor arguments of generator and discriminator, as plain JSON."""
    shared = {"channel_base": settings.channel_base, "channel_max": settings.channel_max}
    generator: Kwargs = {
        "z_dim": settings.latent,
        "c_dim": 0,
        "w_dim": settings.latent,
        "img_resolution": settings.resolution,
        "img_channels": channels,
        "mapping_kwargs": {"num_layers": settings.mapping_layers},
        "synthesis_kwargs": dict(shared),
    }
    discriminator: Kwargs = {
        "c_dim": 0,
        "img_resolution": settings.resolution,
        "img_channels": channels,
        "epilogue_kwargs": {"mbstd_group_size": settings.mbstd_group},
        **shared,
    }
    return generator, discriminator


def read_description(folder: Path) -> dict[str, Any]:
    """Return generator.json of a generator.train artifact; raises CheckpointError."""
    path = folder / DESCRIPTION
    try:
        found = json.loads(path.read_text())
        assert isinstance(found["generator"], dict)
    except (OSError, ValueError, KeyError, AssertionError) as error:
        raise CheckpointError(
            f"{path}: not the description of a trained generator ({error}); "
            "expected the folder of a generator.train artifact"
        ) from error
    return dict(found)


def load_network(path: Path, kind: type[nn.Module], kwargs: Kwargs) -> nn.Module:
    """Build a network and load its tensors strictly, in eval mode without gradients."""
    network = kind(**kwargs)
    tensors, _ = load_tensors(path)
    load_strict(network, tensors, path)
    return network.eval().requires_grad_(False)


def load_generator(folder: Path) -> tuple[Generator, dict[str, Any]]:
    """Return (G_ema, description) of a generator.train artifact."""
    description = read_description(folder)
    generator = load_network(folder / AVERAGE, Generator, description["generator"])
    assert isinstance(generator, Generator)
    return generator, description


def load_discriminator(folder: Path) -> Discriminator:
    """Return the discriminator of a generator.train artifact."""
    kwargs = read_description(folder)["discriminator"]
    discriminator = load_network(folder / CRITIC, Discriminator, kwargs)
    assert isinstance(discriminator, Discriminator)
    return discriminator
