"""What a generator.train artifact holds, and how its networks are built and loaded again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt
from torch import nn

from vesselforge.configs.errors import CheckpointError
from vesselforge.configs.settings import GeneratorSettings
from vesselforge.engine.checkpoints import check_weights, load_tensors
from vesselforge.engine.documents import read_valid
from vesselforge.generator.networks import Discriminator, Generator
from vesselforge.generator.values import Channels
from vesselforge.generator.views import Views

DESCRIPTION = "generator.json"
FOV = "fov.png"
AVERAGE = "generator.safetensors"
"""G_ema, the network to sample from."""
CURRENT = "training.safetensors"
"""G itself, needed only to train on."""
DISCRIMINATOR = "discriminator.safetensors"

Kwargs = dict[str, Any]
Network = TypeVar("Network", bound=nn.Module)

CHANNELS = {"rgb": 3, "grey": 1, "rgb+mask": 4}
"""Image channels by the setting `channels`."""


def network_kwargs(settings: GeneratorSettings, c_dim: int = 0) -> tuple[Kwargs, Kwargs]:
    """Return the constructor arguments of generator and discriminator, as plain JSON.

    c_dim: length of the images' labels, taken when the settings ask for labels.
    """
    shared: Kwargs = {
        "channel_base": settings.channel_base,
        "channel_max": settings.channel_max,
        "conv_clamp": settings.conv_clamp or None,
    }
    images = {
        "c_dim": c_dim if settings.labels else 0,
        "img_resolution": settings.resolution,
        "img_channels": CHANNELS[settings.channels],
    }
    generator: Kwargs = {
        "z_dim": settings.latent,
        "w_dim": settings.latent,
        **images,
        "mapping_kwargs": {"num_layers": settings.mapping_layers},
        "synthesis_kwargs": shared,
    }
    discriminator: Kwargs = {
        **images,
        "block_kwargs": {"freeze_layers": settings.freeze_d},
        "epilogue_kwargs": {"mbstd_group_size": settings.mbstd_group},
        **shared,
    }
    return generator, discriminator


def described_views(views: Views) -> Kwargs:
    """Return how images were shown to the networks, as in generator.json."""
    full = views.presentation == "full"
    return {
        "presentation": views.presentation,
        "resolution": views.resolution,
        "channels": vars(views.channels),
        "labels": None if views.labels is None else views.labels.tolist(),
        "classes": views.classes,
        # Patches have native resolution already; whole images are given their size back.
        "native_size": list(views.native_size) if full else None,
        "fov": FOV if full else None,
    }


class Facts(BaseModel):
    """What readers of generator.json count on; the rest is for people and for training on."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    generator: Kwargs
    discriminator: Kwargs = {}
    presentation: Literal["patch", "full"]
    resolution: int = Field(ge=4, le=4096)
    channels: Channels
    labels: list[list[float]] | None = None
    native_size: tuple[PositiveInt, PositiveInt] | None
    fov: Literal["fov.png"] | None = None
    provenance: dict[str, Any] | None = None


def read_description(folder: Path) -> dict[str, Any]:
    """Return generator.json of a generator.train artifact; raises CheckpointError."""
    expected = "the folder of a generator.train artifact: copy it again"
    found = read_valid(folder / DESCRIPTION, Facts, expected, CheckpointError)
    return found.model_dump(mode="json", exclude_unset=True)


def load_network(path: Path, kind: type[Network], kwargs: Kwargs) -> Network:
    """Build a network and load its tensors strictly, in eval mode without gradients.

    It is first built without memory: arguments of a larger network than the weights are of,
    whatever its size, are refused like any others. Raises CheckpointError.
    """
    tensors, _ = load_tensors(path)
    check_weights(network_without_memory(kind, kwargs, path), tensors, path)
    network = kind(**kwargs)
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def network_without_memory(kind: type[nn.Module], kwargs: Kwargs, path: Path) -> nn.Module:
    """Build a network that has shapes alone; CheckpointError for arguments that fit none."""
    try:
        with torch.device("meta"):
            return kind(**kwargs)
    except (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError) as error:
        raise CheckpointError(
            f"{path}: the arguments that describe it fit no network of ours "
            f"({' '.join(str(error).split())[:200]}); copy or download it again"
        ) from error


def load_generator(folder: Path) -> tuple[Generator, dict[str, Any]]:
    """Return (G_ema, description) of a generator.train artifact."""
    description = read_description(folder)
    return load_network(folder / AVERAGE, Generator, description["generator"]), description


def load_discriminator(folder: Path) -> Discriminator:
    """Return the discriminator of a generator.train artifact."""
    kwargs = read_description(folder).get("discriminator", {})
    return load_network(folder / DISCRIMINATOR, Discriminator, kwargs)
