"""The mapping network of StyleGAN2: latent z and label c to intermediate latents w."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vesselforge.generator.networks.layers import FullyConnectedLayer
from vesselforge.generator.networks.ops import normalize_2nd_moment


class MappingNetwork(nn.Module):
    """`num_layers` fully connected layers; keeps a running mean of w for truncation.

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
        self.w_dim = w_dim
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
