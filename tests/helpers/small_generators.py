"""Folders of untrained generators of any kind: what sampling needs, in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from vesselforge.data.imageset import write_png
from vesselforge.engine.checkpoints import save_tensors
from vesselforge.engine.files import write_json
from vesselforge.generator.networks import Generator
from vesselforge.generator.trained import AVERAGE, DESCRIPTION, FOV
from vesselforge.generator.values import Channels

RGB = Channels("rgb", 3)


def write_generator(
    folder: Path,
    channels: Channels = RGB,
    c_dim: int = 0,
    resolution: int = 16,
    native_size: tuple[int, int] | None = None,
    **facts: Any,
) -> Path:
    """Write a folder in generator.train's format: random weights with noise and a mean latent, so
    that every setting of sampling matters. facts: of its description."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    kwargs: dict[str, Any] = {
        "z_dim": 8, "c_dim": c_dim, "w_dim": 8, "img_resolution": resolution,
        "img_channels": channels.count, "mapping_kwargs": {"num_layers": 2},
        "synthesis_kwargs": {"channel_base": 128, "channel_max": 8},
    }  # fmt: skip
    network = Generator(**kwargs)
    with torch.no_grad():
        network.mapping.w_avg.normal_()
        for name, parameter in network.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.5)
    save_tensors(folder / AVERAGE, network.state_dict())
    if native_size is not None:
        write_png(folder / FOV, np.full(native_size, 255, np.uint8))
    description = {
        "generator": kwargs,
        "presentation": "patch" if native_size is None else "full",
        "resolution": resolution,
        "native_size": native_size,
        "fov": None if native_size is None else FOV,
        "channels": vars(channels),
        "provenance": {"start": "random weights"},
    }
    write_json(folder / DESCRIPTION, description | facts)
    return folder
