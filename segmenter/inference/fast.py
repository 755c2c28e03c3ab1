"""Trained segmenters made fast on a CPU: the same numbers, in a form that only predicts.

BatchNorm becomes part of the convolution before it, DropBlock disappears, activations are applied
while a convolution's result is still in the cache, weights are laid out once as oneDNN wants them,
nothing is concatenated, GroupNorm and SiLU are one step, and the one-channel 7×7 convolutions of
the attention gates are computed 4×4 pixels at a time. With `bfloat16` all that in half the memory,
by instructions of twice the throughput.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vesselforge.configs.errors import ConfigError
from vesselforge.engine.devices import slow_bfloat16
from vesselforge.segmenter.inference.packed import (
    BlockwiseGate,
    GroupNormSiLU,
    PackedConv,
    PackedPair,
)
from vesselforge.segmenter.networks.contract import Segmenter
from vesselforge.segmenter.networks.dropblock import DropBlock
from vesselforge.segmenter.networks.sa_unet import SAUNet
from vesselforge.segmenter.networks.units import CrossScaleAttention, Gate, JoinedConv, UpConv

ACTIVATIONS = {nn.ReLU: "relu", nn.SiLU: "swish", nn.Sigmoid: "sigmoid"}
"""Their names in `packed.PASSES`."""


class Fast(nn.Module):
    """A network that predicts and nothing else: [N, 3, H, W] in [0, 1] → [N, 1, H, W] logits.

    Images go through one at a time: an image's result does not depend on its batch, and maps stay
    in the cache.
    """

    def __init__(self, network: Segmenter, takes: torch.dtype) -> None:
        super().__init__()
        self.network, self.takes = network, takes
        self.multiple = network.multiple
        self.temperature, self.shift = network.temperature, network.shift

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        x = x.to(self.takes).contiguous(memory_format=torch.channels_last)
        return torch.cat([self.network(image).float() for image in x.split(1)])


def fast(network: Segmenter, dtype: torch.dtype = torch.float32) -> Fast:
    """A copy of a trained network on the CPU for fast prediction; the original stays as it is.

    dtype: float32 changes probabilities by rounding only, by less than 1e-5; bfloat16 those of a
    trained SA-UNet or SA-UNetv2 by about 0.01 where they change most (0.0002 on average). Raises
    ConfigError for bfloat16 where the CPU has no such arithmetic.
    """
    if dtype == torch.bfloat16 and slow_bfloat16(torch.device("cpu")):
        raise ConfigError("found bfloat16 on a CPU without such arithmetic, expected float32")
    network = copy.deepcopy(network).eval().requires_grad_(False)
    # The first level computes in float32 whatever the rest does. A fundus is bright and its vessels
    # differ little: rounding the image and the first unit's weights to bfloat16 changed
    # probabilities of a SA-UNetv2 by up to 0.13, all the rest by 0.015; rounding the second unit's,
    # too, is half of that.
    stem: Any = getattr(network, "stem", None)
    if isinstance(network, SAUNet):
        stem = network.encoder[0]
    with torch.no_grad():
        if stem is not None:
            _fold(stem, torch.float32)
            stem.append(Cast(dtype))
        _fold(network, dtype)
        if isinstance(network, SAUNet):  # in bfloat16 a logit of 5 is off by 0.016
            head = PackedConv(network.head.weight, network.head.bias, torch.float32)
            network.head = nn.Sequential(Cast(torch.float32), head)  # type: ignore[assignment]
        network = network.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Fast(network, dtype if stem is None else torch.float32)


class Cast(nn.Module):
    """x in another precision."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)


def _fold(module: nn.Module, dtype: torch.dtype) -> None:
    """Replace what is inside by what computes the same faster without gradients."""
    for name, child in module.named_children():
        match child:
            case Gate():
                setattr(module, name, BlockwiseGate(child.weight, dtype))
            case CrossScaleAttention():
                setattr(module, name, FastCrossScaleAttention(child, dtype))
            case UpConv():
                setattr(module, name, FastUp(child))
            case nn.MaxPool2d():
                setattr(module, name, Halved())
            case _:
                _fold(child, dtype)
    if isinstance(module, nn.Sequential):
        for at, layer in enumerate(module):
            if isinstance(layer, nn.Conv2d) and PackedConv.takes(layer):
                _fold_unit(module, at, dtype)


def _fold_unit(sequence: nn.Sequential, first: int, dtype: torch.dtype) -> None:
    """conv [→ DropBlock] [→ BatchNorm] [→ activation]: a PackedConv, of two maps a PackedPair, and
    identities. GroupNorm → SiLU after it: one GroupNormSiLU."""
    conv = sequence[first]
    assert isinstance(conv, nn.Conv2d)
    weight, bias, activation = conv.weight.detach(), conv.bias, "none"
    for at in range(first + 1, len(sequence)):
        layer = sequence[at]
        if isinstance(layer, nn.GroupNorm):
            if at + 1 < len(sequence) and isinstance(sequence[at + 1], nn.SiLU):
                sequence[at], sequence[at + 1] = GroupNormSiLU(layer), nn.Identity()
            break
        if isinstance(layer, nn.BatchNorm2d):
            weight, bias = normalised(weight, bias, layer)
        elif type(layer) in ACTIVATIONS:
            activation = ACTIVATIONS[type(layer)]
        elif not isinstance(layer, DropBlock):
            break
        sequence[at] = nn.Identity()
        if activation != "none":
            break
    packed = PackedPair if isinstance(conv, JoinedConv) else PackedConv
    sequence[first] = packed(weight, bias, dtype, activation)


def normalised(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does what this one and the BatchNorm after it do."""
    assert norm.running_mean is not None and norm.running_var is not None
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    before = norm.running_mean.double() - (0 if bias is None else bias.double())
    shift = norm.bias.double() - before * factor
    return (weight.double() * factor[:, None, None, None]).float(), shift.float()


class FastCrossScaleAttention(nn.Module):
    """`CrossScaleAttention` with its convolution by blocks, and 1×1 convolutions for the means over
    channels (half the time) and, in bfloat16, for copying the gate to all channels: PyTorch
    multiplies bfloat16 maps of different shapes 8 times as slowly as float32 ones."""

    def __init__(self, attention: CrossScaleAttention, dtype: torch.dtype) -> None:
        super().__init__()
        self.gate = BlockwiseGate(attention.conv.weight, dtype)
        self.mean = torch.full((1, attention.channels, 1, 1), 1 / attention.channels, dtype=dtype)
        ones = torch.ones(attention.channels, 1, 1, 1)
        self.copied = None if dtype == torch.float32 else PackedConv(ones, None, dtype)

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        gate: Tensor = self.gate(F.conv2d(skip, self.mean), F.conv2d(up, self.mean))
        if self.copied is None:
            return skip * gate
        every: Tensor = self.copied(gate.contiguous(memory_format=torch.channels_last))
        return every.mul_(skip)


class FastUp(nn.Module):
    """`UpConv` as the transposed convolution that it is.

    Without gradients, channels last, oneDNN takes little longer than its arithmetic. A row and a
    column of zeros before the map move Keras's crop (the first 2H of 2H + 1 rows) to where
    `padding` crops.
    """

    def __init__(self, up: UpConv) -> None:
        super().__init__()
        self.weight, self.bias = up.weight, up.bias

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 0, 1, 0))
        return F.conv_transpose2d(x, self.weight, self.bias, 2, padding=2, output_padding=1)


class Halved(nn.Module):
    """`nn.MaxPool2d(2)` of a channels-last map with even sides, in 40 % of the time."""

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        x = x.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w, c)
        x = torch.maximum(x[:, :, 0], x[:, :, 1]).view(n, h // 2, w // 2, 2, c)
        return torch.maximum(x[..., 0, :], x[..., 1, :]).permute(0, 3, 1, 2)
