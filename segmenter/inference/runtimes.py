"""What runs trained segmenters: PyTorch, as they are or made fast.

Takes images and returns probabilities, both on the CPU, a map for each network. The number of
threads is PyTorch's (`torch.set_num_threads`, OMP_NUM_THREADS).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast, get_args

import torch
from torch import Tensor, nn

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.stages.segmenter import Runtime as RuntimeName
from vesselforge.engine.processes.lifetimes import keep_freed_memory
from vesselforge.segmenter.inference.fast import fast
from vesselforge.segmenter.networks.contract import Segmenter

RUNTIMES: tuple[str, ...] = get_args(RuntimeName)
FAST = {"fast": torch.float32, "fast-bfloat16": torch.bfloat16}
"""Those that work on the CPU alone, and what they compute in."""


def start(name: str, networks: Sequence[nn.Module], device: torch.device) -> TorchRuntime:
    """The runtime called `name`, with the networks in it.

    auto is the fastest that is safe: on a CPU `fast`, which beats ONNX Runtime on two cores and
    whose probabilities are PyTorch's to 1e-5 (`fast-bfloat16`: to about 0.01). These two run
    copies of the networks as they are now, and from here on the process keeps memory that it frees.
    Raises ConfigError for an unknown name, or a device it cannot use.
    """
    if name not in RUNTIMES:
        raise ConfigError(f"runtime: found {name!r}, expected one of {', '.join(RUNTIMES)}")
    if name == "auto":
        name = "fast" if device.type == "cpu" else "torch"
    if name == "torch":
        return TorchRuntime(networks, device)
    if device.type != "cpu":
        raise ConfigError(
            f"device: found {device.type} for the runtime {name}, which works on the CPU; "
            "give --device cpu, or --runtime torch"
        )
    keep_freed_memory()
    quick = [fast(cast(Segmenter, network), FAST[name]) for network in networks]
    runtime = TorchRuntime(quick, device)
    runtime.name = name
    return runtime


def probability(network: nn.Module, image: Tensor) -> Tensor:
    """[N, 3, H, W] in [0, 1] → the network's calibrated probability [N, 1, H, W] in float32."""
    logit: Tensor = network(image).float()
    temperature, shift = getattr(network, "temperature", 1.0), getattr(network, "shift", 0.0)
    if (temperature, shift) != (1, 0):  # no steps in a graph that change nothing
        logit = logit / temperature + shift
    return torch.sigmoid(logit)


class Probabilities(nn.Module):
    """[N, 3, H, W] in [0, 1] → the probability of each of n networks [N, n, H, W]."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.multiple = math.lcm(*(int(network.multiple) for network in networks))  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([probability(network, image) for network in self.networks], dim=1)


class TorchRuntime:
    """PyTorch, eager: runs the networks themselves, so that it follows them through training.

    multiple: what the networks want sides to be a multiple of; other sizes are allowed, and padded
    by the networks.
    """

    name = "torch"

    def __init__(self, networks: Sequence[nn.Module], device: torch.device) -> None:
        self.module = Probabilities(networks)
        self.multiple = self.module.multiple
        self.device = device

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] float32 in [0, 1] → vessel probability [N, n, H, W] float32 of each of n
        networks."""
        x = images.to(self.device).contiguous(memory_format=torch.channels_last)
        probability: Tensor = self.module(x).cpu()
        return probability
