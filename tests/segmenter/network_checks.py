"""What the tests of several networks ask of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

from segmenter.networks.base import Segmenter


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


def without_gradient(network: Segmenter, x: Tensor) -> list[str]:
    """Names of the parameters that no head depends on."""
    loss = torch.stack([head.square().mean() for head in network.outputs(x)]).sum()
    loss.backward()
    return [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]


def exported(network: Segmenter, path: Path) -> Callable[[Tensor], Tensor]:
    """The finest head in ONNX Runtime, for any batch and any multiples of height and width."""

    class Finest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> Tensor:
            return self.network.heads(x, every=False)[0]

    step = network.multiple
    height, width = (step * torch.export.Dim(name, min=1, max=256) for name in "hw")
    shapes = ({0: torch.export.Dim("n"), 2: height, 3: width},)
    example = torch.rand(2, 3, 3 * step, 2 * step)
    logging.disable()  # pytest would keep every line of the tracer, and take three times as long
    try:
        torch.onnx.export(
            Finest().eval(), (example,), path, dynamo=True, dynamic_shapes=shapes,
            input_names=["image"], external_data=False, verbose=False,
        )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda x: torch.from_numpy(session.run(None, {"image": x.numpy()})[0])
