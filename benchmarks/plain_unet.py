"""SA-UNet and SA-UNetv2 as anybody would write them: the yardstick, with nothing tuned.

PyTorch's own layers in its default layout (NCHW) and precision (float32): `ConvTranspose2d` with
the surplus row and column cut off, `BatchNorm2d` or `GroupNorm`, `torch.cat`, and DropBlock by
max-pooling, as its paper describes it. State dictionaries are those of `segmenter.networks`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-3


class DropBlock(nn.Module):
    """Seeds for every pixel, blocks by max-pooling round them (Ghiasi et al. 2018, algorithm 1)."""

    def __init__(self, drop: float, block: int = 7) -> None:
        super().__init__()
        self.drop, self.block = drop, block

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.drop == 0:
            return x
        height, width = x.shape[-2:]
        room = (height - self.block + 1) * (width - self.block + 1)
        rate = self.drop / self.block**2 * height * width / room
        inner = torch.rand(
            *x.shape[:2], height - self.block + 1, width - self.block + 1, device=x.device
        )
        seeds = F.pad((inner < rate).to(x.dtype), [self.block // 2] * 4)
        keep = 1 - F.max_pool2d(seeds, self.block, stride=1, padding=self.block // 2)
        return x * keep * keep.numel() / keep.sum()


def unit(i: int, o: int, group: bool, drop: float) -> nn.Sequential:
    """conv 3×3 → DropBlock → normalisation → activation."""
    norm = nn.GroupNorm(8, o, eps=EPSILON) if group else nn.BatchNorm2d(o, EPSILON, 0.01)
    activation = nn.SiLU() if group else nn.ReLU()
    return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), DropBlock(drop), norm, activation)


class Attention(nn.Module):
    """A gate per pixel from two maps by a 7×7 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        mean = x.mean(dim=1, keepdim=True)
        second = x.amax(dim=1, keepdim=True) if other is None else other.mean(dim=1, keepdim=True)
        return x * torch.sigmoid(self.conv(torch.cat([mean, second], dim=1)))


class PlainUNet(nn.Module):
    """SA-UNet, or SA-UNetv2 where `second`. [N, 3, H, W] in [0, 1] → [N, 1, H, W] logits."""

    def __init__(self, second: bool = False, drop: float | None = None, width: int = 16) -> None:
        super().__init__()
        rate = (0.15 if second else 0.18) if drop is None else drop
        c1, c2, c3, c4 = (width * factor for factor in ((1, 2, 3, 4) if second else (1, 2, 4, 8)))

        def double(i: int, o: int) -> nn.Sequential:
            return nn.Sequential(unit(i, o, second, rate), unit(o, o, second, rate))

        self.encoder = nn.ModuleList([double(3, c1), double(c1, c2), double(c2, c3)])
        self.bottleneck = nn.Sequential(
            unit(c3, c4, second, rate), Attention(), unit(c4, c4, second, rate)
        )
        ups = [(c4, c3), (c3, c2), (c2, c1)]
        self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 3, stride=2) for i, o in ups)
        self.gate = nn.ModuleList(Attention() for _ in ups if second)
        self.decoder = nn.ModuleList(double(2 * o, o) for _, o in ups)
        self.head = nn.Conv2d(c1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % 8, 0, -height % 8))
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottleneck(x)
        for level, skip in enumerate(reversed(skips)):
            x = self.up[level](x)[:, :, :-1, :-1]
            if self.gate:
                skip = self.gate[level](skip, x)
            x = self.decoder[level](torch.cat([x, skip], dim=1))
        return self.head(x)[:, :, :height, :width]
