"""Segmentation networks by name. Input N×3×H×W in [0, 1], output N×1×H×W logits."""

from __future__ import annotations

from typing import Any

from vesselforge.configs.choices import NETWORKS, unknown
from vesselforge.configs.errors import ConfigError
from vesselforge.segmenter.networks.contract import Segmenter


def build(name: str, **options: Any) -> Segmenter:
    """The network called `name`, freshly initialised.

    Raises ConfigError for an unknown name.

    >>> build("sa-unet", drop=0.18)  # doctest: +ELLIPSIS
    SAUNet(...)
    """
    if name not in NETWORKS:
        raise ConfigError(f"network: {unknown(name, NETWORKS)}")
    network: Segmenter = NETWORKS[name].load()(**NETWORKS[name].options, **options)
    return network
