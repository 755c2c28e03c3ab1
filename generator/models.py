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


CHANNELS = {"rgb": 3, "grey": 1, "rgb+mask": 4}
"""Image channels by the setting `channels`; `native` has as many as the prepared files."""


def network_kwargs(
    settings: GeneratorSettings, channels: int | None = None, c_dim: int = 0
) -> Pair:
    """Return the constructor arguments of generator and discriminator, as plain JSON.

    channels: of the images, needed for `channels: native` alone; c_dim: length of their labels,
    taken when the settings ask for labels. ValueError when what is needed is not given.
    """
    count = CHANNELS.get(settings.channels, channels)
    if count is None or channels not in (None, count):
        raise ValueError(f"channels: {settings.channels} does not go with {channels} channels")
    if settings.labels and c_dim < 1:
        raise ValueError("labels: true needs images that have labels")
    shared: Kwargs = {
        "channel_base": settings.channel_base,
        "channel_max": settings.channel_max,
        "conv_clamp": settings.conv_clamp,
    }
    images = {
        "c_dim": c_dim if settings.labels else 0,
        "img_resolution": settings.resolution,
        "img_channels": count,
    }
    generator: Kwargs = {
        "z_dim": settings.latent,
        "w_dim": settings.latent,
        **images,
        "mapping_kwargs": {"num_layers": settings.mapping_layers},
        "synthesis_kwargs": {"architecture": settings.g_architecture, **shared},
    }
    discriminator: Kwargs = {
        **images,
        "architecture": settings.d_architecture,
        "block_kwargs": {"freeze_layers": settings.freeze_d},
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
