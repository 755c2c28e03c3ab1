"""Segmentation networks by name. Input N×3×H×W in [0, 1], output N×1×H×W logits."""

from __future__ import annotations

from typing import Any

from torch import nn

from configs.errors import ConfigError
from segmenter.networks.sa_unet import SAUNet

NETWORKS = {"sa-unet": SAUNet}


def build(name: str, **options: Any) -> nn.Module:
    """The network called `name`, freshly initialised.

    Raises ConfigError for an unknown name.

    >>> build("sa-unet", drop=0.18)  # doctest: +ELLIPSIS
    SAUNet(...)
    """
    if name not in NETWORKS:
        raise ConfigError(f"network {name!r} is unknown; expected one of {', '.join(NETWORKS)}")
    return NETWORKS[name](**options)
