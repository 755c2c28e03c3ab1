"""SA-UNet (Guo et al., ICPR 2020): a small U-Net with DropBlock, BatchNorm and spatial attention.

Keras conventions are written out where PyTorch's defaults differ: normalisation constants,
initial values, and the alignment of the transposed convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segmenter.networks.dropblock import DropBlock

MULTIPLE = 8
"""Height and width that the three pooling levels need a multiple of."""


class ConvUnit(nn.Sequential):
    """conv 3×3 (with bias) → DropBlock → BatchNorm → ReLU."""

    def __init__(self, in_channels: int, out_channels: int, drop: float, block: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            DropBlock(drop, block),
            nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01),  # Keras: momentum 0.99
            nn.ReLU(inplace=True),
        )


class SpatialAttention(nn.Module):
    """Scale every pixel by a gate in (0, 1) seen from its 7×7 neighbourhood (paper, eq. 4).

    The published code stacks [mean, max]; the paper writes [max; mean]. Weights follow the code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)  # 98 weights in all

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W]
        summary = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.conv(summary))


class UpConv(nn.ConvTranspose2d):
    """Transposed conv 3×3, stride 2, Keras `same`: exactly twice the size.

    Keras keeps the first 2H of 2H + 1 rows; `padding=1, output_padding=1` would shift by a pixel.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, stride=2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(x, output_size)[..., :-1, :-1]


class SAUNet(nn.Module):
    """18 layers, 537,299 trainable parameters (538,707 as Keras counts, with running statistics).

    drop, block: DropBlock's drop rate and block side (paper: 0.18 on DRIVE, 7 pixels).
    Any H, W from 8 up: inputs are zero-padded to a multiple of 8 and the output is cropped back.
    """

    def __init__(self, drop: float = 0.18, block: int = 7, width: int = 16) -> None:
        super().__init__()
        c1, c2, c3, c4 = (width * 2**level for level in range(4))
        self.encoder_channels = c1 + c2 + c3 + c4

        def unit(i: int, o: int) -> ConvUnit:
            return ConvUnit(i, o, drop, block)

        self.encoder = nn.ModuleList(
            [
                nn.Sequential(unit(3, c1), unit(c1, c1)),
                nn.Sequential(unit(c1, c2), unit(c2, c2)),
                nn.Sequential(unit(c2, c3), unit(c3, c3)),
            ]
        )
        self.bottleneck = nn.Sequential(unit(c3, c4), SpatialAttention(), unit(c4, c4))
        self.up = nn.ModuleList([UpConv(c4, c3), UpConv(c3, c2), UpConv(c2, c1)])
        self.decoder = nn.ModuleList(
            [
                nn.Sequential(unit(2 * c3, c3), unit(c3, c3)),
                nn.Sequential(unit(2 * c2, c2), unit(c2, c2)),
                nn.Sequential(unit(2 * c1, c1), unit(c1, c1)),
            ]
        )
        self.head = nn.Conv2d(c1, 1, 1)
        self.apply(_initialise)

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(bottleneck [N, 8·width, H/8, W/8], skips from fine to coarse); H, W multiples of 8."""
        skips = []
        for stage in self.encoder:
            x = stage(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        return self.bottleneck(x), skips

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % MULTIPLE, 0, -height % MULTIPLE))
        x, skips = self.encode(x)
        for up, stage, skip in zip(self.up, self.decoder, reversed(skips), strict=True):
            x = stage(torch.cat([up(x), skip], dim=1))  # upsampled first, skip second
        return self.head(x)[..., :height, :width]  # [N, 1, H, W] logits


def _initialise(module: nn.Module) -> None:
    """Keras: Glorot uniform and zero bias; the attention's conv He normal, truncated at 2 sd."""
    if isinstance(module, SpatialAttention):
        fan_in = 98  # 7·7·2
        sd = (2 / fan_in) ** 0.5 / 0.8796  # so that the sd after truncation is √(2/fan_in)
        nn.init.trunc_normal_(module.conv.weight, std=sd, a=-2 * sd, b=2 * sd)
    elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.bias is not None:
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
