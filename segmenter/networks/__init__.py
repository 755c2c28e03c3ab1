"""Segmentation networks by name. Input N×3×H×W in [0, 1], output N×1×H×W logits.

A module of this folder registers its networks by `base.register`; `configs.choices` has a line of
help for each name.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

from vesselforge.configs.choices import NETWORKS as NAMES
from vesselforge.configs.choices import unknown
from vesselforge.configs.errors import ConfigError
from vesselforge.segmenter.networks.base import NETWORKS, Segmenter

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def build(name: str, **options: Any) -> Segmenter:
    """The network called `name`, freshly initialised.

    Raises ConfigError for an unknown name.

    >>> build("sa-unet", drop=0.18)  # doctest: +ELLIPSIS
    SAUNet(...)
    """
    if name not in NETWORKS:
        raise ConfigError(f"network: {unknown(name, NAMES)}")
    return NETWORKS[name](**options)
