"""The discriminator of StyleGAN2-ADA: image and optional label to one logit per image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vesselforge.generator.networks import convolution
from vesselforge.generator.networks.fir import downsample2d, setup_filter
from vesselforge.generator.networks.layers import (
    ARCHITECTURES,
    BINOMIAL,
    SQRT_HALF,
    Conv2dLayer,
    FullyConnectedLayer,
    MappingNetwork,
    block_resolutions,
    channels_at,
    reduced_resolutions,
)
from vesselforge.generator.networks.ops import minibatch_std

LAYERS = ("fromrgb", "conv0", "conv1", "skip")
"""The layers of a block that Freeze-D counts, in its order."""


class DiscriminatorBlock(nn.Module):
    """Two convolutions that halve the resolution, with the architecture's shortcut.

    Layers are counted from the image: fromrgb, conv0, conv1, skip, as far as the block has them.
    Those of index `first_layer_idx` + i below `freeze_layers` keep their weights (Freeze-D).
    """

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        tmp_channels: int,
        out_channels: int,
        img_channels: int,
        first_layer_idx: int = 0,
        architecture: str = "resnet",
        activation: str = "lrelu",
        resample_filter: Sequence[float] = BINOMIAL,
        conv_clamp: float | None = None,
        fp16_channels_last: bool = False,
        freeze_layers: int = 0,
    ) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be one of {ARCHITECTURES}, not {architecture!r}")
        self.architecture = architecture
        self.register_buffer("resample_filter", setup_filter(resample_filter))
        conv: dict[str, Any] = {"activation": activation, "conv_clamp": conv_clamp}
        down: dict[str, Any] = {"down": 2, "resample_filter": resample_filter}
        self.has_fromrgb = in_channels == 0 or architecture == "skip"
        if self.has_fromrgb:
            self.fromrgb = Conv2dLayer(img_channels, tmp_channels, 1, **conv)
        self.conv0 = Conv2dLayer(tmp_channels, tmp_channels, 3, **conv)
        self.conv1 = Conv2dLayer(tmp_channels, out_channels, 3, **conv, **down)
        if architecture == "resnet":
            self.skip = Conv2dLayer(tmp_channels, out_channels, 1, bias=False, **down)
        layers = [getattr(self, name) for name in LAYERS if hasattr(self, name)]
        self.num_layers = len(layers)
        for layer in layers[: max(0, freeze_layers - first_layer_idx)]:
            # Buffers of the same names: no optimiser finds them any more.
            for name, value in list(layer.named_parameters(recurse=False)):
                delattr(layer, name)
                layer.register_buffer(name, value.detach())

    def forward(
        self, x: Tensor | None, img: Tensor | None, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor | None]:
        """Return features at half resolution, and the smaller image (`skip` only).

        `dtype` is that of the features; the image keeps its own.
        """
        x = None if x is None else x.to(dtype)
        if self.has_fromrgb:
            assert img is not None
            y = self.fromrgb(img.to(dtype))
            x = y if x is None else x + y
            img = downsample2d(img, self.resample_filter) if self.architecture == "skip" else None
        assert x is not None
        if self.architecture == "resnet":
            shortcut = self.skip(x, gain=SQRT_HALF)
            return shortcut + self.conv1(self.conv0(x), gain=SQRT_HALF), img
        return self.conv1(self.conv0(x)), img


class DiscriminatorEpilogue(nn.Module):
    """From 4 x 4 features to logits (or to `cmap_dim` features, projected on the label).

    `mbstd_num_channels` maps let it see how varied a group of `mbstd_group_size` images is.
    """

    def __init__(
        self,
        in_channels: int,
        cmap_dim: int,
        img_channels: int,
        architecture: str = "resnet",
        mbstd_group_size: int | None = 4,
        mbstd_num_channels: int = 1,
        activation: str = "lrelu",
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.cmap_dim = cmap_dim
        if architecture == "skip":
            self.fromrgb = Conv2dLayer(img_channels, in_channels, 1, activation=activation)
        self.architecture = architecture
        self.mbstd_group_size = mbstd_group_size
        self.mbstd_num_channels = mbstd_num_channels
        conv: dict[str, Any] = {"activation": activation, "conv_clamp": conv_clamp}
        self.conv = Conv2dLayer(in_channels + mbstd_num_channels, in_channels, 3, **conv)
        self.fc = FullyConnectedLayer(in_channels * 4 * 4, in_channels, activation)
        self.out = FullyConnectedLayer(in_channels, cmap_dim if cmap_dim else 1)

    def forward(self, x: Tensor, img: Tensor | None, cmap: Tensor | None) -> Tensor:
        """Return logits `[N, 1]`; positive means real."""
        if self.architecture == "skip":
            x = x + self.fromrgb(img)
        if self.mbstd_num_channels:
            x = minibatch_std(x, self.mbstd_group_size, self.mbstd_num_channels)
        x = self.conv(x)
        x = self.out(self.fc(x.flatten(1)))
        if self.cmap_dim:
            assert cmap is not None
            x = (x * cmap).sum(dim=1, keepdim=True) / math.sqrt(self.cmap_dim)
        return x


class Discriminator(nn.Module):
    """Blocks from R x R down to 8 x 8, then the epilogue."""

    def __init__(
        self,
        c_dim: int,
        img_resolution: int,
        img_channels: int,
        architecture: str = "resnet",
        channel_base: int = 32768,
        channel_max: int = 512,
        num_fp16_res: int = 0,
        conv_clamp: float | None = None,
        cmap_dim: int | None = None,
        block_kwargs: Mapping[str, Any] | None = None,
        mapping_kwargs: Mapping[str, Any] | None = None,
        epilogue_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.c_dim = c_dim
        self.img_resolution = img_resolution
        self.img_channels = img_channels
        resolutions = block_resolutions(img_resolution)
        self.block_resolutions = resolutions[:0:-1]  # R, …, 8
        width = {r: channels_at(r, channel_base, channel_max) for r in resolutions}
        cmap_dim = 0 if c_dim == 0 else width[4] if cmap_dim is None else cmap_dim
        common: dict[str, Any] = {
            "img_channels": img_channels, "architecture": architecture, "conv_clamp": conv_clamp
        }  # fmt: skip
        layers = 0  # so far, from the image side
        for res in self.block_resolutions:
            block = DiscriminatorBlock(
                width[res] if res < img_resolution else 0,
                width[res],
                width[res // 2],
                first_layer_idx=layers,
                **common,
                **(block_kwargs or {}),
            )
            layers += block.num_layers
            setattr(self, f"b{res}", block)
        if c_dim > 0:
            self.mapping = MappingNetwork(
                0, c_dim, cmap_dim, None, w_avg_beta=None, **(mapping_kwargs or {})
            )
        self.b4 = DiscriminatorEpilogue(width[4], cmap_dim, **common, **(epilogue_kwargs or {}))

    def forward(
        self, img: Tensor, c: Tensor | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Map images `[N, C, R, R]` to logits `[N, 1]`; positive means real.

        `dtype` torch.bfloat16 computes the features of `reduced_resolutions` so; weights and the
        epilogue stay in the type of the images.
        """
        low = reduced_resolutions(self.img_resolution)
        x: Tensor | None = None
        rest: Tensor | None = img.contiguous(memory_format=convolution.FEATURE_LAYOUT)
        for res in self.block_resolutions:
            block_dtype = dtype if dtype is not None and res in low else img.dtype
            x, rest = getattr(self, f"b{res}")(x, rest, block_dtype)
        assert x is not None
        cmap = self.mapping(None, c) if self.c_dim > 0 else None
        logits: Tensor = self.b4(x.to(img.dtype), rest, cmap)
        return logits
