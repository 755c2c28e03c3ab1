"""Segmentation networks by name. Input N×3×H×W in [0, 1], output N×1×H×W logits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from vesselforge.configs.choices import NETWORKS as NAMES
from vesselforge.configs.choices import unknown
from vesselforge.configs.errors import ConfigError
from vesselforge.segmenter.networks.base import Segmenter
from vesselforge.segmenter.networks.sa2_net import SA2Net
from vesselforge.segmenter.networks.sa_unet import VARIANTS, SAUNet
from vesselforge.segmenter.networks.unet_v2 import UNetV2

NETWORKS: dict[str, Callable[..., Segmenter]] = {
    **{name: partial(SAUNet, name) for name in VARIANTS},
    "sa2-net": SA2Net,
    "unet-v2": UNetV2,
}
"""Name → constructor; `configs.choices.NETWORKS` has a line of help for each."""


def build(name: str, **options: Any) -> Segmenter:
    """The network called `name`, freshly initialised.

    Raises ConfigError for an unknown name.

    >>> build("sa-unet", drop=0.18)  # doctest: +ELLIPSIS
    SAUNet(...)
    """
    if name not in NETWORKS:
        raise ConfigError(f"network: {unknown(name, NAMES)}")
    return NETWORKS[name](**options)
