"""What the tests of several networks ask of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vesselforge.segmenter.networks.contract import Segmenter
from vesselforge.segmenter.networks.pvt import PyramidEncoder


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def shaken(module: nn.Module, seed: int = 0) -> nn.Module:
    """In float64 and evaluation mode, with no parameter or running statistic left at 0 or 1."""
    rng = torch.Generator().manual_seed(seed)
    module.double().eval()
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                noise = 0.3 * torch.rand(tensor.shape, generator=rng, dtype=torch.float64)
                tensor.copy_(tensor + noise if tensor.ndim < 2 else tensor)
                if name.endswith("running_mean"):
                    tensor.sub_(0.2)
    return module


def images(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def one_block_a_stage(encoder: PyramidEncoder) -> PyramidEncoder:
    for layer in encoder.body.encoder.layers:
        layer.blocks = layer.blocks[:1]
    return encoder


def without_gradient(network: Segmenter, x: Tensor) -> list[str]:
    """Names of the parameters that no head depends on."""
    loss = torch.stack([head.square().mean() for head in network.outputs(x)]).sum()
    loss.backward()
    return [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
