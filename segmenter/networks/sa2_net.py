"""SA2-Net (Fiaz et al., BMVC 2023): a U-Net whose skips are re-weighted by attention across scales.

All four skips meet at a quarter of the resolution, where one fused map decides what every scale
passes on; every decoder level then gates its skip by what the level below has found. PyTorch's
default initialisation and BatchNorm constants throughout, as published; convolutions that the
published code creates and never uses (13,187,712 weights) are left out.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vesselforge.segmenter.networks.contract import Segmenter

SCALES = (4, 2, 1, 0.5)
"""From a quarter of the resolution to the four skips (full, half, quarter, eighth)."""


class ConvUnit(nn.Sequential):
    """conv 3×3 (with bias) → BatchNorm → ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


def double_unit(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(ConvUnit(in_channels, out_channels), ConvUnit(out_channels, out_channels))


class PixelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W]
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class LocalScaleAttention(nn.Module):
    """What 3×3 neighbourhoods show, gated by what 5×5 neighbourhoods show.

    The published code multiplies the two halves of the channels one after the other and joins
    them again: the product of the whole maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 4 * channels
        self.expand = nn.Conv2d(channels, wide, 1)
        self.near = nn.Conv2d(wide, wide, 3, padding=1, groups=wide)
        self.far = nn.Conv2d(wide, wide, 5, padding=2, groups=wide)
        self.project = nn.Conv2d(wide, channels, 1)

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W]
        x = self.expand(x)
        return self.project(F.relu(self.near(x)) * torch.sigmoid(F.relu(self.far(x))))


class Mixer(nn.Module):
    """Residual MLP per pixel, after a depth-wise look at its 3×3 neighbourhood."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = PixelNorm(channels)
        self.look = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.expand = nn.Conv2d(channels, 4 * channels, 1)
        self.project = nn.Conv2d(4 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W]
        normed = self.norm(x)
        seen = normed + F.gelu(self.look(normed))
        return x + self.project(F.gelu(self.expand(seen)))


class ScaleAttention(nn.Module):
    """Four maps of `channels` channels at four scales, each re-weighted by what all of them show.

    The fused map gives one query for all scales and one gate per scale. The gates come out of a
    GELU, as in the published code, and so are not bounded by 1 (the paper speaks of a sigmoid).
    """

    def __init__(self, channels: int, out_channels: list[int]) -> None:
        super().__init__()
        count = len(out_channels)
        self.local = nn.ModuleList(LocalScaleAttention(channels) for _ in out_channels)
        self.norm = nn.BatchNorm2d(count * channels)
        self.fuse = nn.Conv2d(count * channels, channels + count, 3, padding=1)
        self.query = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.mix = nn.ModuleList(Mixer(channels) for _ in out_channels)
        self.widen = nn.ModuleList(nn.Conv2d(channels, o, 3, padding=1) for o in out_channels)

    def forward(self, skips: list[Tensor]) -> list[Tensor]:  # [N, C, H·s, W·s], s of SCALES
        local = [
            attend(_rescaled(x, 1 / scale))
            for attend, x, scale in zip(self.local, skips, SCALES, strict=True)
        ]
        fused = F.gelu(self.fuse(self.norm(torch.cat(local, dim=1))))
        channels = skips[0].shape[1]
        query = F.gelu(self.query(fused[:, :channels]))
        gates = fused[:, channels:].split(1, dim=1)  # one [N, 1, H, W] per scale
        levels = zip(skips, local, gates, SCALES, self.mix, self.widen, strict=True)
        return [
            widen(mix(x + _rescaled(seen * gate * query, scale)))
            for x, seen, gate, scale, mix, widen in levels
        ]


class AttentiveGate(nn.Module):
    """Adds to a skip what the level below points at: depth-wise 11×11 of it beside 5×5 of the skip.

    below, skip: [N, C, H, W], `below` already upsampled.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = PixelNorm(channels)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.wide = nn.Conv2d(channels, channels, 11, padding=5, groups=channels)
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.weigh = nn.Sequential(nn.Conv2d(2 * channels, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())
        self.project = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        wide = self.wide(F.gelu(self.mix(self.norm(below))))
        near = self.near(skip)
        weight = self.weigh(F.gelu(torch.cat([wide, near], dim=1)))  # [N, 1, H, W] in (0, 1)
        return skip + self.project(weight * near)


class Up(nn.Module):
    """The level below, nearest ×2, gates the skip; two conv units follow (nothing is joined)."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.gate = AttentiveGate(channels)
        self.conv = double_unit(channels, out_channels)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        return self.conv(self.gate(F.interpolate(below, scale_factor=2.0, mode="nearest"), skip))


class SA2Net(Segmenter):
    """19,296,596 trainable parameters, four heads (full, 1/2, 1/4 and 1/8 of the resolution).

    width: channels of the finest level (paper: 64); the levels have 1, 2, 4, 8 and 8 times that.
    In training H·W must exceed 16² (or the batch 1): BatchNorm needs more than one value.
    """

    multiple = 16

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        c1, c2, c3, c4 = (width * 2**level for level in range(4))
        self.encoder_channels = (c1, c2, c3, c4, c4)
        self.stem = ConvUnit(3, c1)
        self.down = nn.ModuleList(
            [double_unit(c1, c2), double_unit(c2, c3), double_unit(c3, c4), double_unit(c4, c4)]
        )
        self.narrow = nn.ModuleList(nn.Conv2d(c, width, 3, padding=1) for c in (c2, c3, c4))
        self.deepest = nn.Conv2d(c4, c4, 3, padding=1)
        self.attention = ScaleAttention(width, [c1, c2, c3, c4])
        self.up = nn.ModuleList([Up(c4, c3), Up(c3, c2), Up(c2, c1), Up(c1, c1)])
        self.head = nn.ModuleList(nn.Conv2d(c, 1, 1) for c in (c1, c1, c2, c3))  # finest first

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features [N, C, H/k, W/k] for k = 1, 2, 4, 8, 16; see Segmenter.encode."""
        levels = [self.stem(x)]
        for stage in self.down:
            levels.append(stage(F.max_pool2d(levels[-1], 2)))
        return levels

    def heads(self, x: Tensor, every: bool) -> list[Tensor]:
        """Logits [N, 1, H/k, W/k] for k = 1, 2, 4, 8; see Segmenter.heads.

        Published: the features of a coarse head are resized to H×W, then weighted to logits. Both
        steps are linear and the bilinear weights add up to 1, so the logits are resized instead
        (by `outputs`): the same numbers without 448 channels at full resolution.
        """
        skips = self.encode(x)
        side = [narrow(skip) for narrow, skip in zip(self.narrow, skips[1:4], strict=True)]
        attended = self.attention([skips[0], *side])
        x = self.deepest(skips[4])
        levels: list[Tensor] = []
        for up, skip in zip(self.up, reversed(attended), strict=True):
            x = up(x, skip)
            levels.insert(0, x)
        wanted = len(self.head) if every else 1
        return [
            head(level) for head, level in zip(self.head[:wanted], levels[:wanted], strict=True)
        ]


def _rescaled(x: Tensor, scale: float) -> Tensor:
    """Bilinear, pixel centres aligned as areas; a factor, not a size, so that exports stay open."""
    if scale == 1:
        return x
    return F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)
