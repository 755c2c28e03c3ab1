"""U-Net v2 (Peng et al. 2023): every skip is the product of what all four encoder levels say.

The encoder is PVTv2-b2 (see pvt.py). Its maps pass a channel and a spatial attention, are reduced
to a few channels, and meet at each level in the SDI (semantics and detail infusion), whose outputs
a chain of transposed convolutions adds up. The transposed convolution that the published code
creates and never uses (16,384 weights) is left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vesselforge.segmenter.networks.contract import Segmenter
from vesselforge.segmenter.networks.pvt import CHANNELS, PyramidEncoder
from vesselforge.segmenter.networks.units import SpatialAttention

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Of ImageNet's RGB values in [0, 1]; what the encoder's published weights were trained with."""


class ChannelAttention(nn.Module):
    """Scale every channel by a gate in (0, 1) seen from its mean and its maximum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, channels // 16, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // 16, channels, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W]
        mean, peak = x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
        return x * torch.sigmoid(self.weigh(mean) + self.weigh(peak))


class Reduce(nn.Sequential):
    """Attention over channels, then space; conv 1×1 (no bias) → BatchNorm, and no activation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            ChannelAttention(in_channels),
            SpatialAttention(),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )


class Infusion(nn.Module):
    """SDI: the product over all levels of a 3×3 convolution of their map, at this level's size.

    level: 0 (finest) … 3. Each level is twice as fine as the next, in height and in width: a finer
    map is averaged over blocks (all that adaptive pooling does then), a coarser one is resized
    bilinearly, corner to corner.
    """

    def __init__(self, level: int, channels: int, levels: int = 4) -> None:
        super().__init__()
        self.level = level
        self.conv = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(levels)
        )

    def forward(self, maps: list[Tensor]) -> Tensor:  # [N, C, H/2^j, W/2^j], j = 0 … 3
        product = self.conv[0](self.fitted(maps[0], 0))
        for other in range(1, len(maps)):
            product = product * self.conv[other](self.fitted(maps[other], other))
        return product

    def fitted(self, x: Tensor, other: int) -> Tensor:
        """The map of level `other` at this level's size."""
        if other < self.level:
            return F.avg_pool2d(x, 2 ** (self.level - other))
        if other > self.level:
            factor = 2.0 ** (other - self.level)
            return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=True)
        return x


class UNetV2(Segmenter):
    """25,128,652 trainable parameters, four heads (full, 1/2, 1/4 and 1/8 of the resolution).

    Input in [0, 1] like every network here: ImageNet's mean and deviation are taken off inside.
    Published code takes square images only; here height and width are free.

    channel: of the reduced maps (paper: 32). drop_path: stochastic depth of the encoder.
    pretrained: ImageNet weights from the network. It concerns fresh weights alone, so it has no
    place among the options that a model folder records.
    """

    multiple = 32
    encoder_channels = CHANNELS
    mean: Tensor
    std: Tensor

    def __init__(self, channel: int = 32, drop_path: float = 0.1, pretrained: bool = False) -> None:
        super().__init__()
        self.encoder = PyramidEncoder(drop_path)
        self.reduce = nn.ModuleList(Reduce(c, channel) for c in CHANNELS)
        self.infuse = nn.ModuleList(Infusion(level, channel) for level in range(4))
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(channel, channel, 4, stride=2, padding=1, bias=False)
            for _ in range(3)
        )  # from the coarsest on
        self.head = nn.ModuleList(nn.Conv2d(channel, 1, 1) for _ in range(4))  # finest first
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)
        if pretrained:
            self.encoder.load_pretrained()

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features [N, C, H/k, W/k] for k = 4, 8, 16, 32; see Segmenter.encode."""
        maps: list[Tensor] = self.encoder((x - self.mean) / self.std)
        return maps

    def heads(self, x: Tensor, every: bool) -> list[Tensor]:
        """Logits [N, 1, H/k, W/k] for k = 1, 2, 4, 8; see Segmenter.heads."""
        maps = [reduce(f) for reduce, f in zip(self.reduce, self.encode(x), strict=True)]
        infused = [infuse(maps) for infuse in self.infuse]
        levels = [infused[3]]
        for up, skip in zip(self.up, reversed(infused[:3]), strict=True):
            levels.insert(0, up(levels[0]) + skip)
        wanted = 4 if every else 1
        return [
            F.interpolate(head(level), scale_factor=4.0, mode="bilinear", align_corners=False)
            for head, level in zip(self.head[:wanted], levels[:wanted], strict=True)
        ]
