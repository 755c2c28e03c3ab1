"""Networks of the SA-UNet family, filled with the golden forward test's deterministic numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from vesselforge.segmenter.networks import build

TENSORS = {"sa-unet": 93, "sa-unet-v2": 68}


def golden_network(name: str) -> nn.Module:
    """The network in float64 and evaluation mode; its logits were computed in Keras, too."""
    network = build(name).double().eval()
    count = 0
    with torch.no_grad():
        for count, (role, tensor) in enumerate(ordered(network), start=1):
            n = np.arange(tensor.numel(), dtype=np.int64)
            u = ((7919 * n**2 + 104729 * count + 31 * n) % 997) / 996 - 0.5
            if role in ("conv", "up"):
                inputs = tensor.shape[0 if role == "up" else 1]
                fan = tensor.shape[2] * tensor.shape[3] * inputs
                value = (2 / fan) ** 0.5 * 12**0.5 * u
            else:
                value = {"bias": 0.2 * u, "gamma": 1 + 0.2 * u, "var": 1 + 0.4 * u}[role]
            tensor.copy_(torch.from_numpy(value).reshape(tensor.shape))
    assert count == TENSORS[name]
    return network


def ordered(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """(role, tensor) in the order of the layers: encoder, bottleneck, decoder, head."""
    for stage in network.encoder:
        for unit in stage:
            yield from _unit(unit)
    yield from _unit(network.bottleneck[0])
    yield "conv", network.bottleneck[1].conv.weight
    yield from _unit(network.bottleneck[2])
    for level, (up, stage) in enumerate(zip(network.up, network.decoder, strict=True)):
        yield from (("up", up.weight), ("bias", up.bias))
        if network.gate:
            yield "conv", network.gate[level].conv.weight
        for unit in stage:
            yield from _unit(unit)
    yield from (("conv", network.head.weight), ("bias", network.head.bias))


def _unit(unit: nn.Sequential) -> Iterator[tuple[str, Tensor]]:
    conv, norm = unit[0], unit[2]
    yield from (("conv", conv.weight), ("bias", conv.bias))
    yield from (("gamma", norm.weight), ("bias", norm.bias))
    if isinstance(norm, nn.BatchNorm2d):
        yield from (("bias", norm.running_mean), ("var", norm.running_var))
