"""Building pieces of the SA-UNet family, with Keras's conventions written out.

Normalisation constants, initial values and the alignment of the transposed convolution all differ
from PyTorch's defaults.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vesselforge.segmenter.networks.dropblock import DropBlock
from vesselforge.segmenter.networks.group_norm import GroupNorm

Norm = Literal["batch", "group"]
EPSILON = 1e-3
"""Added to variances; Keras's default for both normalisations (PyTorch: 1e-5)."""
GROUPS = 8


class JoinedConv(nn.Conv2d):
    """The convolution of two maps [N, C/2, H, W], one after the other in the channels."""

    def forward(self, pair: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        return super().forward(torch.cat(pair, dim=1))


class ConvUnit(nn.Sequential):
    """conv 3×3 (with bias) → DropBlock → norm → activation; the middle two where there are any.

    norm: `batch` is followed by ReLU, `group` (8 groups of contiguous channels) by SiLU. conv: its
    kind.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm: Norm | None,
        drop: float | None,
        block: int,
        conv: type[nn.Conv2d] = nn.Conv2d,
    ) -> None:
        layers: list[nn.Module] = [conv(in_channels, out_channels, 3, padding=1)]
        if drop is not None:
            layers.append(DropBlock(drop, block))
        if norm == "batch":  # Keras's momentum 0.99
            layers.append(nn.BatchNorm2d(out_channels, eps=EPSILON, momentum=0.01))
        if norm == "group":
            layers.append(GroupNorm(GROUPS, out_channels, eps=EPSILON))
        layers.append(nn.SiLU(inplace=True) if norm == "group" else nn.ReLU(inplace=True))
        super().__init__(*layers)


class Gate(nn.Conv2d):
    """[N, 1, H, W] in (0, 1) of two maps of that shape: sigmoid(conv 7×7), 98 weights in all."""

    def __init__(self) -> None:
        super().__init__(2, 1, 7, padding=3, bias=False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:  # type: ignore[override]
        return torch.sigmoid(super().forward(torch.cat([first, second], dim=1)))


class SpatialAttention(nn.Module):
    """Scale every pixel by a gate in (0, 1) seen from its 7×7 neighbourhood (SA-UNet, eq. 4).

    The published code stacks [mean, max]; the paper writes [max; mean]. Weights follow the code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = Gate()

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W]
        return x * self.conv(x.mean(1, keepdim=True), x.amax(1, keepdim=True))


class CrossScaleAttention(nn.Module):
    """SA-UNetv2's gate on a skip: what the encoder saw, judged beside what the decoder knows.

    Stacks the channel means of both (encoder first, no maxima) and scales the encoder's map only.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels, self.conv = channels, Gate()

    def forward(self, skip: Tensor, up: Tensor) -> Tensor:  # both [N, C, H, W]
        return skip * self.conv(skip.mean(1, keepdim=True), up.mean(1, keepdim=True))


class UpConv(nn.ConvTranspose2d):
    """Transposed conv 3×3, stride 2, Keras `same`: exactly twice the size.

    Keras keeps the first 2H of 2H + 1 rows; `padding=1, output_padding=1` would shift by a pixel.

    Computed as a 2×2 convolution that gives the four pixels of each 2×2 block as channels:
    PyTorch's transposed convolution on a CPU took half of SA-UNet's training step for a tenth of
    its arithmetic.
    """

    taps: Tensor

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, stride=2)
        # Along one axis y[2i] = w[2]·x[i − 1] + w[0]·x[i] and y[2i + 1] = w[1]·x[i].
        taps = torch.zeros(2, 2, 3)  # parity of the output, neighbour (i − 1 or i), kernel tap
        taps[0, 0, 2] = taps[0, 1, 0] = taps[1, 1, 1] = 1
        self.register_buffer("taps", taps, persistent=False)

    def block_kernel(self) -> Tensor:
        """[4·out, in, 2, 2]: the kernel of the equivalent convolution; four pixels an output."""
        kernel = torch.einsum("iokl,apk,bql->oabipq", self.weight, self.taps, self.taps)
        return kernel.reshape(4 * self.out_channels, self.in_channels, 2, 2)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        assert self.bias is not None
        bias = self.bias.repeat_interleave(4)
        return F.pixel_shuffle(F.conv2d(F.pad(x, (1, 0, 1, 0)), self.block_kernel(), bias), 2)


def he_normal_(weight: Tensor) -> None:
    """Keras's He normal: truncated at 2 sd, √(2/fan_in) the sd after truncation."""
    # Both layouts have Keras's third kernel axis, its "inputs", here: of a transposed convolution
    # that axis holds the outputs.
    sd = (2 / weight[0].numel()) ** 0.5 / 0.8796
    nn.init.trunc_normal_(weight, std=sd, a=-2 * sd, b=2 * sd)
