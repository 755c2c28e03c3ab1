"""Trained segmenters made fast on a CPU: the same numbers, in a form that only predicts.

BatchNorm becomes part of the convolution before it, DropBlock disappears, activations are applied
while a convolution's result is still in the cache, weights are laid out once as oneDNN wants them,
nothing is concatenated, GroupNorm and SiLU are one step, and the one-channel 7×7 convolutions of
the attention gates are computed 4×4 pixels at a time. With `bfloat16` all that in half the memory,
by instructions of twice the throughput.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vesselforge.configs.errors import ConfigError
from vesselforge.engine.devices import slow_bfloat16
from vesselforge.segmenter.inference.packed import (
    BlockwiseGate,
    GroupNormSiLU,
    MeanOfChannels,
    PackedConv,
    Scale,
)
from vesselforge.segmenter.networks.contract import Segmenter
from vesselforge.segmenter.networks.dropblock import DropBlock
from vesselforge.segmenter.networks.sa2_net import SA2Net
from vesselforge.segmenter.networks.sa_unet import SAUNet
from vesselforge.segmenter.networks.units import CrossScaleAttention, SpatialAttention, UpConv

ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.SiLU: "swish",
    nn.Sigmoid: "sigmoid",
}
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
        x = x.to(self.takes)
        return torch.cat(
            [
                self.network(image.contiguous(memory_format=torch.channels_last)).float()
                for image in x.split(1)
            ]
        )


def fast(network: Segmenter, dtype: torch.dtype = torch.float32) -> Fast:
    """A copy of a trained network for fast prediction on the CPU; the original stays as it is.

    dtype: float32 changes probabilities by rounding only, by less than 1e-5; bfloat16 those of a
    trained SA-UNet or SA-UNetv2 by about 0.01 where they change most (0.0002 on average). Raises
    ConfigError for a network that is not on the CPU, and for bfloat16 where the CPU has no such
    arithmetic.
    """
    device = next(network.parameters()).device
    if device.type != "cpu":
        raise ConfigError(
            f"device: found a network on {device.type}, expected it on the CPU; elsewhere call "
            "the network itself"
        )
    if dtype == torch.bfloat16 and slow_bfloat16(device):
        raise ConfigError("found bfloat16 on a CPU without such arithmetic, expected float32")
    network = copy.deepcopy(network).eval().requires_grad_(False)
    stem = stem_of(network)
    with torch.no_grad():
        if stem is not None:
            _fold(stem, torch.float32)
            stem.append(Cast(dtype))
        _fold(network, dtype)
        if isinstance(network, SAUNet):
            network = FastSAUNet(network, dtype)
        network = network.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Fast(network, dtype if stem is None else torch.float32)


def stem_of(network: Segmenter) -> nn.Sequential | None:
    """The first level, which computes in float32 whatever the rest does.

    A fundus is bright and its vessels differ little: rounding the image and the first unit's
    weights to bfloat16 changed probabilities of a SA-UNetv2 by up to 0.13, all the rest by 0.015;
    rounding the second unit's, too, is half of that.
    """
    stem: nn.Module | None = None
    if isinstance(network, SAUNet):
        stem = network.encoder[0]
    elif isinstance(network, SA2Net):
        stem = network.stem
    assert stem is None or isinstance(stem, nn.Sequential)
    return stem


class Cast(nn.Module):
    """x in another precision."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.dtype)


def _fold(module: nn.Module, dtype: torch.dtype) -> None:
    """Replace what is inside by what computes the same faster without gradients."""
    for name, child in list(module.named_children()):
        if isinstance(child, SpatialAttention):
            setattr(module, name, FastSpatialAttention(child, dtype))
        else:
            _fold(child, dtype)
    if isinstance(module, nn.Sequential):
        for at, layer in enumerate(module):
            if isinstance(layer, nn.Conv2d) and PackedConv.takes(layer):
                _fold_unit(module, at, dtype)


def _fold_unit(sequence: nn.Sequential, first: int, dtype: torch.dtype) -> None:
    """conv [→ DropBlock] [→ BatchNorm] [→ activation]: a PackedConv, and identities. GroupNorm →
    SiLU after it: one GroupNormSiLU."""
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
    sequence[first] = PackedConv(weight, bias, dtype, activation)


def normalised(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that does what this one and the BatchNorm after it do."""
    assert norm.running_mean is not None and norm.running_var is not None
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    before = norm.running_mean.double() - (0 if bias is None else bias.double())
    shift = norm.bias.double() - before * factor
    return (weight.double() * factor[:, None, None, None]).float(), shift.float()


class FastSpatialAttention(nn.Module):
    """`SpatialAttention` with its convolution by blocks."""

    def __init__(self, attention: SpatialAttention, dtype: torch.dtype) -> None:
        super().__init__()
        self.gate = BlockwiseGate(attention.conv.weight, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean(1, keepdim=True), x.amax(1, keepdim=True))


class FastCrossScaleAttention(nn.Module):
    """`CrossScaleAttention` with its convolution by blocks."""

    def __init__(self, attention: CrossScaleAttention, channels: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.mean = MeanOfChannels(channels, dtype)
        self.gate = BlockwiseGate(attention.conv.weight, dtype)
        self.scale = Scale(channels, dtype)

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:
        scaled: Tensor = self.scale(skip, self.gate(self.mean(skip), self.mean(up)))
        return scaled


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


class FastSAUNet(Segmenter):
    """A network of the SA-UNet family whose units are folded; see `SAUNet.heads`.

    The convolution of [upsampled, skip] is computed as the sum of two, so that nothing need be
    concatenated.
    """

    def __init__(self, network: SAUNet, dtype: torch.dtype) -> None:
        super().__init__()
        self.multiple, self.encoder_channels = network.multiple, network.encoder_channels
        self.temperature, self.shift = network.temperature, network.shift
        self.encoder, self.bottleneck = network.encoder, network.bottleneck
        self.decoder = network.decoder
        self.head = PackedConv(network.head.weight, network.head.bias, torch.float32)
        self.up, self.gate = nn.ModuleList(), nn.ModuleList()
        self.from_up, self.from_skip = nn.ModuleList(), nn.ModuleList()
        for level, (up, stage) in enumerate(zip(network.up, self.decoder, strict=True)):
            assert isinstance(up, UpConv) and isinstance(stage, nn.Sequential)
            self.up.append(FastUp(up))
            if network.gate:
                gate = network.gate[level]
                assert isinstance(gate, CrossScaleAttention)
                self.gate.append(FastCrossScaleAttention(gate, up.out_channels, dtype))
            unit = stage[0]
            assert isinstance(unit, nn.Sequential) and isinstance(unit[0], PackedConv)
            from_up, from_skip = unit[0].split()
            self.from_up.append(from_up)
            self.from_skip.append(from_skip)
            unit[0] = nn.Identity()

    def encode(self, x: Tensor) -> list[Tensor]:
        levels = []
        for stage in self.encoder:
            x = stage(x)
            levels.append(x)
            x = halved(x)
        return [*levels, self.bottleneck(x)]

    def heads(self, x: Tensor, every: bool) -> list[Tensor]:
        *skips, x = self.encode(x)
        for level, skip in enumerate(reversed(skips)):
            x = self.up[level](x)
            if self.gate:
                skip = self.gate[level](skip, x)
            x = self.from_skip[level](skip, add=self.from_up[level](x))
            x = self.decoder[level](x)
        return [self.head(x.float())]  # in bfloat16 a logit of 5 is off by 0.016


def halved(x: Tensor) -> Tensor:
    """`F.max_pool2d(x, 2)` of a channels-last map with even sides, in 40 % of the time."""
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w, c)
    x = torch.maximum(x[:, :, 0], x[:, :, 1]).view(n, h // 2, w // 2, 2, c)
    return torch.maximum(x[..., 0, :], x[..., 1, :]).permute(0, 3, 1, 2)
