"""The synthesis network of StyleGAN2: from intermediate latents to an image (paper, section 2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vesselforge.generator.networks import convolution
from vesselforge.generator.networks.fir import setup_filter, upsample2d, upsample_binomial
from vesselforge.generator.networks.layers import (
    ARCHITECTURES,
    BINOMIAL,
    SQRT_HALF,
    Conv2dLayer,
    FullyConnectedLayer,
    block_resolutions,
    channels_at,
    reduced_resolutions,
)
from vesselforge.generator.networks.ops import (
    ACTIVATIONS,
    activate,
    modulated_conv2d,
    split_gain,
    squares,
)

NoiseMode = Literal["random", "const", "none"]
Randn = Callable[[Sequence[int], torch.device], Tensor]
"""Draws layer noise N(0, 1) of the shape `[N, 1, r, r]`; in place of torch.randn it decides which
stream each sample's noise comes from."""


class SynthesisLayer(nn.Module):
    """Modulated 3 x 3 convolution, noise, bias, activation."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        kernel_size: int = 3,
        up: int = 1,
        use_noise: bool = True,
        activation: str = "lrelu",
        resample_filter: Sequence[float] = BINOMIAL,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.up = up
        self.use_noise = use_noise
        self.activation = activation
        self.conv_clamp = conv_clamp
        self.padding = kernel_size // 2
        self.act_gain = ACTIVATIONS[activation][2]
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        shape = [out_channels, in_channels, kernel_size, kernel_size]
        self.weight = nn.Parameter(torch.randn(shape))
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        self._kept: tuple[Any, Tensor, Tensor] | None = None
        if use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def _weights(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the weights as `x` needs them and their squares, None: to be computed.

        At one image a call, preparing 23 million weights took a fifth of the time: an evaluated
        network keeps what it prepared for as long as the weights stay as they are.
        """
        weight = self.weight
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()
        if self.training or torch.is_grad_enabled() or traced or weight.is_inference():
            return weight, None
        key = (weight.data_ptr(), weight._version, x.dtype, convolution.FEATURE_LAYOUT)
        if self._kept is None or self._kept[0] != key:
            ready = weight.transpose(0, 1) if self.up > 1 else weight
            ready = ready.to(x.dtype, memory_format=convolution.FEATURE_LAYOUT)
            ready = ready.transpose(0, 1) if self.up > 1 else ready
            self._kept = key, ready, squares(weight)
        return self._kept[1], self._kept[2]

    def _noise(self, x: Tensor, mode: NoiseMode, randn: Randn | None) -> Tensor | None:
        if not self.use_noise or mode == "none":
            return None
        if mode == "const":
            return self.noise_const * self.noise_strength
        shape = [x.shape[0], 1, self.resolution, self.resolution]
        drawn = torch.randn(shape, device=x.device) if randn is None else randn(shape, x.device)
        return drawn * self.noise_strength

    def forward(
        self,
        x: Tensor,
        w: Tensor,
        noise_mode: NoiseMode = "random",
        gain: float = 1.0,
        randn: Randn | None = None,
    ) -> Tensor:
        """Map `[N, in, r/up, r/up]` and `w` `[N, w_dim]` to `[N, out, r, r]`."""
        before, after = split_gain(self.activation, self.act_gain * gain)
        weight, power = self._weights(x)
        x = modulated_conv2d(
            x,
            weight,
            self.affine(w),
            noise=self._noise(x, noise_mode, randn),
            up=self.up,
            padding=self.padding,
            resample_filter=self.resample_filter,
            flip_weight=self.up == 1,
            bias=self.bias,
            gain=before,
            power=power,
        )
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        return activate(x, self.activation, gain=after, clamp=clamp)


class ToRGBLayer(nn.Module):
    """Modulated 1 x 1 convolution to image channels, without demodulation or noise."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn([out_channels, in_channels, 1, 1]))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map features `[N, in, r, r]` to an image contribution `[N, out, r, r]`."""
        styles = self.affine(w) * self.weight_gain
        x = modulated_conv2d(x, self.weight, styles, demodulate=False, bias=self.bias)
        return activate(x, clamp=self.conv_clamp)


class SynthesisBlock(nn.Module):
    """One resolution: two convolutions (one at 4 x 4) and the image branch."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        img_channels: int,
        is_last: bool,
        architecture: str = "skip",
        resample_filter: Sequence[float] = BINOMIAL,
        conv_clamp: float | None = None,
        fp16_channels_last: bool = False,
        **layer_kwargs: Any,
    ) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be one of {ARCHITECTURES}, not {architecture!r}")
        self.in_channels = in_channels
        self.architecture = architecture
        self.binomial = tuple(resample_filter) == BINOMIAL  # the fast form of upsampling applies
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        common: dict[str, Any] = {"w_dim": w_dim, "conv_clamp": conv_clamp}
        layer: dict[str, Any] = {
            "resolution": resolution, "resample_filter": resample_filter, **common, **layer_kwargs
        }  # fmt: skip
        self.num_conv = 1 if in_channels == 0 else 2
        if in_channels == 0:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, up=2, **layer)
        self.conv1 = SynthesisLayer(out_channels, out_channels, **layer)
        self.has_torgb = is_last or architecture == "skip"
        if self.has_torgb:
            self.torgb = ToRGBLayer(out_channels, img_channels, **common)
        if in_channels != 0 and architecture == "resnet":
            self.skip = Conv2dLayer(
                in_channels, out_channels, 1, bias=False, up=2, resample_filter=resample_filter
            )

    def forward(
        self,
        x: Tensor | None,
        img: Tensor | None,
        ws: Tensor,
        dtype: torch.dtype | None = None,
        **noise: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Take features and image of the previous block and its `num_conv + has_torgb` latents.

        `dtype` is that of the features; the image stays in the type of `ws`. noise: options of
        every SynthesisLayer.
        """
        w: Iterator[Tensor] = iter(ws.unbind(dim=1))
        x = self.const[None].expand(ws.shape[0], -1, -1, -1) if self.in_channels == 0 else x
        assert x is not None
        layout = convolution.FEATURE_LAYOUT
        x = x.to(ws.dtype if dtype is None else dtype, memory_format=layout)
        if self.in_channels == 0:
            x = self.conv1(x, next(w), **noise)
        elif self.architecture == "resnet":
            shortcut = self.skip(x, gain=SQRT_HALF)
            x = self.conv0(x, next(w), **noise)
            x = shortcut + self.conv1(x, next(w), gain=SQRT_HALF, **noise)
        else:
            x = self.conv1(self.conv0(x, next(w), **noise), next(w), **noise)
        if img is not None:
            img = upsample_binomial(img) if self.binomial else upsample2d(img, self.resample_filter)
        if self.has_torgb:
            y = self.torgb(x, next(w)).to(ws.dtype)
            img = y if img is None else img + y
        return x, img


class SynthesisNetwork(nn.Module):
    """All blocks from 4 x 4 to R x R."""

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        channel_base: int = 32768,
        channel_max: int = 512,
        num_fp16_res: int = 0,
        **block_kwargs: Any,
    ) -> None:
        super().__init__()
        self.img_resolution = img_resolution
        self.block_resolutions = block_resolutions(img_resolution)
        self.num_ws = 0
        for res in self.block_resolutions:
            above = channels_at(res // 2, channel_base, channel_max) if res > 4 else 0
            is_last = res == img_resolution
            block = SynthesisBlock(
                above,
                channels_at(res, channel_base, channel_max),
                w_dim=w_dim,
                resolution=res,
                img_channels=img_channels,
                is_last=is_last,
                **block_kwargs,
            )
            self.num_ws += block.num_conv + is_last
            setattr(self, f"b{res}", block)

    def forward(
        self,
        ws: Tensor,
        noise_mode: NoiseMode = "random",
        randn: Randn | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Map `ws` `[N, num_ws, w_dim]` to images `[N, C, R, R]`, nominally in [-1, 1].

        `dtype` torch.bfloat16 computes the features of `reduced_resolutions` so, twice as fast
        and with an error of about 0.6 % of the image's standard deviation; weights, styles,
        demodulation and the image stay in the type of `ws`.

        `randn` replaces torch.randn as the source of random noise.
        """
        x = img = None
        start, low = 0, reduced_resolutions(self.img_resolution)
        for res in self.block_resolutions:
            block = getattr(self, f"b{res}")
            part = ws.narrow(1, start, block.num_conv + block.has_torgb)
            start += block.num_conv  # torgb shares its latent with the next block's first layer
            block_dtype = dtype if res in low else None
            x, img = block(x, img, part, block_dtype, noise_mode=noise_mode, randn=randn)
        assert img is not None
        return img
