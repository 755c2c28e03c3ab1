"""What generator and discriminator share: resolutions, layers, the mapping network.

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
    conv2d_resample,
    normalize_2nd_moment,
    split_gain,
)

ARCHITECTURES = ("orig", "skip", "resnet")
BINOMIAL = (1, 3, 3, 1)  # the FIR taps of every published configuration
SQRT_HALF = math.sqrt(0.5)


def block_resolutions(img_resolution: int) -> list[int]:
    """Return 4, 8, …, R; ValueError unless R is a power of two of at least 4."""
    if img_resolution < 4 or img_resolution & (img_resolution - 1):
        raise ValueError(f"the resolution must be a power of two from 4 up, not {img_resolution}")
    return [2**i for i in range(2, img_resolution.bit_length())]


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    """Return the number of feature maps at one resolution."""
    return max(1, min(channel_base // resolution, channel_max))


def reduced_resolutions(img_resolution: int) -> list[int]:
    """Return the resolutions that may compute in 16 bits: the four highest, never 4 x 4.

    They hold nearly all of the arithmetic, and errors made in the coarse ones would be amplified.
    """
    return block_resolutions(img_resolution)[1:][-4:]


class FullyConnectedLayer(nn.Module):
    """Linear layer `[N, in]` → `[N, out]` with equalised learning rate and an activation."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full([out_features], float(bias_init)))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Return act(x·Wᵀ + b)."""
        weight, bias = self.weight.to(x.dtype).t(), self.bias.to(x.dtype)
        bias = bias * self.bias_gain if self.bias_gain != 1 else bias
        # alpha scales the product, which is smaller than the weights.
        y = torch.addmm(bias, x, weight, alpha=self.weight_gain)
        return activate(y, self.activation, ACTIVATIONS[self.activation][2])


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


class MappingNetwork(nn.Module):
    """Latent z and label c to intermediate latents w, by `num_layers` fully connected layers.

    It keeps a running mean of w for truncation.
    `num_ws=None` returns `[N, w_dim]`; otherwise w is repeated to `[N, num_ws, w_dim]`.
    With `z_dim=0` it embeds the label alone, as the discriminator's projection needs it.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int | None,
        num_layers: int = 8,
        embed_features: int | None = None,
        layer_features: int | None = None,
        activation: str = "lrelu",
        lr_multiplier: float = 0.01,
        w_avg_beta: float | None = 0.995,
    ) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.c_dim = c_dim
        self.num_ws = num_ws
        self.num_layers = num_layers
        self.w_avg_beta = w_avg_beta
        embed = 0 if c_dim == 0 else (w_dim if embed_features is None else embed_features)
        hidden = w_dim if layer_features is None else layer_features
        widths = [z_dim + embed, *[hidden] * (num_layers - 1), w_dim]
        if c_dim > 0:
            self.embed = FullyConnectedLayer(c_dim, embed)
        for i in range(num_layers):
            layer = FullyConnectedLayer(
                widths[i], widths[i + 1], activation=activation, lr_multiplier=lr_multiplier
            )
            setattr(self, f"fc{i}", layer)
        if num_ws is not None and w_avg_beta is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def _input(self, z: Tensor | None, c: Tensor | None) -> Tensor:
        parts = []
        if self.z_dim > 0:
            assert z is not None
            parts.append(normalize_2nd_moment(z.to(torch.float32)))
        if self.c_dim > 0:
            if c is None:
                raise ValueError(f"this network is conditional: pass labels [N, {self.c_dim}]")
            parts.append(normalize_2nd_moment(self.embed(c.to(torch.float32))))
        return torch.cat(parts, dim=1)

    def forward(
        self,
        z: Tensor | None,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        skip_w_avg_update: bool = False,
    ) -> Tensor:
        """Return w; psi 0 is the mean, 1 no truncation, applied to the first `cutoff` layers."""
        x = self._input(z, c)
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        if self.training and self.w_avg_beta is not None and not skip_w_avg_update:
            mean = x.detach().mean(dim=0)
            self.w_avg.copy_(mean.lerp(self.w_avg, self.w_avg_beta))
        if self.num_ws is not None:
            x = x[:, None].expand(-1, self.num_ws, -1)
        if truncation_psi == 1:
            return x
        if self.num_ws is None or truncation_cutoff is None:
            return self.w_avg.lerp(x, truncation_psi)
        near = self.w_avg.lerp(x[:, :truncation_cutoff], truncation_psi)
        return torch.cat([near, x[:, truncation_cutoff:]], dim=1)
