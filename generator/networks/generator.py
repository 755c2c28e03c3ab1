"""The generator of StyleGAN2-ADA, named so that official state dicts load strictly.

Computation is float32 throughout: `num_fp16_res` and the like are accepted because checkpoints
carry them, and ignored. `conv_clamp` is honoured, being part of the function the network computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from vesselforge.generator.networks.layers import MappingNetwork
from vesselforge.generator.networks.synthesis import SynthesisNetwork


class Generator(nn.Module):
    """Latent z and optional label c to image: mapping network, then synthesis network."""

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        mapping_kwargs: Mapping[str, Any] | None = None,
        synthesis_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.c_dim = c_dim
        self.w_dim = w_dim
        self.img_resolution = img_resolution
        self.img_channels = img_channels
        self.synthesis = SynthesisNetwork(
            w_dim, img_resolution, img_channels, **(synthesis_kwargs or {})
        )
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, c_dim, w_dim, self.num_ws, **(mapping_kwargs or {}))

    def forward(
        self,
        z: Tensor,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        **synthesis_kwargs: Any,
    ) -> Tensor:
        """Map `z` `[N, z_dim]` (any float type) to images `[N, C, R, R]`, nominally in [-1, 1]."""
        ws = self.mapping(z, c, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff)
        image: Tensor = self.synthesis(ws, **synthesis_kwargs)
        return image


def count_parameters(module: nn.Module) -> int:
    """Return the number of trainable and frozen parameters, buffers excluded."""
    return sum(p.numel() for p in module.parameters())
