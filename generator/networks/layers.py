"""The layers shared by generator and discriminator: fully connected and resampling convolution.

Weights are stored N(0, 1) and scaled at run time (equalised learning rate, Progressive GAN §4.1),
so that Adam moves every layer at the same relative speed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vesselforge.generator.networks.fir import setup_filter
from vesselforge.generator.networks.ops import (
    ACTIVATIONS,
    activate,
    bias_act,
    conv2d_resample,
    split_gain,
)

BINOMIAL = (1, 3, 3, 1)  # the FIR taps of every published configuration


class FullyConnectedLayer(nn.Module):
    """Linear layer `[N, in]` → `[N, out]` with equalised learning rate and an activation."""

    bias: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([out_features], float(bias_init))) if bias else None
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Return act(x·Wᵀ + b)."""
        weight = self.weight.to(x.dtype).t()
        bias = x.new_zeros([]) if self.bias is None else self.bias.to(x.dtype)
        bias = bias * self.bias_gain if self.bias_gain != 1 else bias
        # alpha scales the product, which is smaller than the weights.
        y = torch.addmm(bias, x, weight, alpha=self.weight_gain)
        return bias_act(y, None, self.activation)


class Conv2dLayer(nn.Module):
    """Convolution with optional resampling by 2, bias, activation, gain and clamp."""

    resample_filter: Tensor
    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool = True,
        activation: str = "linear",
        up: int = 1,
        down: int = 1,
        resample_filter: Sequence[float] = BINOMIAL,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.up = up
        self.down = down
        self.conv_clamp = conv_clamp
        self.padding = kernel_size // 2
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.act_gain = ACTIVATIONS[activation][2]
        shape = [out_channels, in_channels, kernel_size, kernel_size]
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", setup_filter(resample_filter))

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """Map `[N, in, H, W]` to `[N, out, H·up/down, W·up/down]`; `gain` scales the clamp too."""
        before, after = split_gain(self.activation, self.act_gain * gain)
        x = conv2d_resample(
            x,
            (self.weight * (self.weight_gain * before)).to(x.dtype),
            self.resample_filter,
            up=self.up,
            down=self.down,
            padding=self.padding,
            flip_weight=self.up == 1,  # official weights of up layers are stored rotated
            bias=None if self.bias is None else (self.bias * before).to(x.dtype),
        )
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        return activate(x, self.activation, gain=after, clamp=clamp)
