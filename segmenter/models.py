"""A trained segmenter, or several as one, that predicts: as PyTorch runs it, or made fast.

The number of threads is PyTorch's (`torch.set_num_threads`, OMP_NUM_THREADS).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.stages.segmenter import Runtime
from vesselforge.engine.devices import pick_device
from vesselforge.engine.processes.lifetimes import keep_freed_memory
from vesselforge.segmenter.combine import MEAN, Rule, combine
from vesselforge.segmenter.components import ALL, Components, masked
from vesselforge.segmenter.inference.fast import fast
from vesselforge.segmenter.inference.tiles import SIDE, Notify, shared_pixels, tiled
from vesselforge.segmenter.magnification import Magnification
from vesselforge.segmenter.model_files import read_description, restore

FAST = {"fast": torch.float32, "fast-bfloat16": torch.bfloat16}
"""Runtimes that work on the CPU alone, and what they compute in."""


class Probabilities(nn.Module):
    """[N, 3, H, W] in [0, 1] → the calibrated probability of each of n networks [N, n, H, W].

    multiple: what the networks want sides to be a multiple of; they pad others themselves.
    """

    def __init__(self, networks: Sequence[Any]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.multiple = math.lcm(*(network.multiple for network in networks))

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([_probability(network, image) for network in self.networks], dim=1)


def _probability(network: Any, image: Tensor) -> Tensor:
    logit = network(image).float()
    if (network.temperature, network.shift) != (1, 0):  # no steps in a graph that change nothing
        logit = logit / network.temperature + network.shift
    return torch.sigmoid(logit)


class Model:
    """One or several trained networks; how a mask is made of their probability: the threshold and
    the rule of components that were chosen on images of the development; and the magnification
    that they were trained at, if that is known.

    runtime: torch runs the networks themselves, and so follows them through training; `fast` and
    `fast-bfloat16` run copies of them on the CPU, whose probabilities are PyTorch's to 1e-5 and to
    about 0.01, and from then on the process keeps memory that it frees; auto is `fast` on a CPU,
    where it beats ONNX Runtime on two cores. side: longest of a tile in pixels. Raises ConfigError
    for a runtime that is unknown or cannot use the device, and for tiles that are too small.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        threshold: float,
        device: torch.device,
        runtime: str = "torch",
        side: int = SIDE,
        rule: Rule = MEAN,
        components: Components = ALL,
        magnification: Magnification | None = None,
    ) -> None:
        placed = [place(network, device).eval() for network in networks]
        self.networks = _at_speed(runtime, placed, device)
        self.each = Probabilities(self.networks)
        self.threshold, self.rule, self.components = threshold, rule, components
        self.magnification = magnification
        self.device, self.side = device, side
        shared_pixels(side, self.each.multiple)

    @classmethod
    def load(
        cls,
        path: Path,
        device: torch.device | None = None,
        runtime: str = "torch",
        side: int = SIDE,
    ) -> Model:
        """Read a model folder. Raises CheckpointError naming the file and the tensor, and
        ConfigError as above."""
        told = read_description(path)
        networks = [restore(path, member) for member in told.members]
        device = device or pick_device("cpu" if runtime in FAST else "auto")
        how = told.rule, told.components, told.magnification
        return cls(networks, told.threshold, device, runtime, side, *how)

    @torch.inference_mode()
    def run(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] float32 in [0, 1] → vessel probability [N, n, H, W] float32 of each of n
        networks, both on the CPU."""
        x = images.to(self.device).contiguous(memory_format=torch.channels_last)
        probability: Tensor = self.each(x).cpu()
        return probability

    def predict(
        self,
        image: NDArray[np.uint8],
        flips: bool = False,
        notify: Notify = lambda share: None,
        scale: float = 1.0,
    ) -> NDArray[np.float32]:
        """Vessel probability [H, W] in [0, 1] of an RGB image [H, W, 3], at its own resolution.

        Several networks: combined by the model's rule. flips: the mean over the image and its
        three mirror images, too, of each member. An image with a side beyond `side` goes through in
        tiles. notify: told the share that is done after every tile. scale: the network sees the
        image that many times as large.
        """
        return combine(self.rule, self.members(image, flips, notify, scale))

    def mask(self, prob: NDArray[np.float32], scale: float = 1.0) -> NDArray[np.bool_]:
        """Where there are vessels, [H, W] bool, in a map of `predict`. scale: how many times as
        large as the map the image was that the network saw."""
        return masked(prob, self.threshold, self.components, scale)

    def members(
        self,
        image: NDArray[np.uint8],
        flips: bool = False,
        notify: Notify = lambda share: None,
        scale: float = 1.0,
    ) -> NDArray[np.float32]:
        """The probability map of each member by itself, [n, H, W]; see `predict`."""
        height, width = image.shape[:2]
        if scale != 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
        mirrors: list[tuple[int, ...]] = [(), (1,), (0,), (0, 1)] if flips else [()]
        total: Any = np.float32(0)
        for number, axes in enumerate(mirrors):

            def report(share: float, before: int = number) -> None:
                notify((before + share) / len(mirrors))

            maps = tiled(self.run, np.flip(image, axes), self.each.multiple, self.side, report)
            total = total + np.flip(maps, tuple(axis + 1 for axis in axes))
        total = total / np.float32(len(mirrors))
        if scale != 1:
            bicubic = Image.Resampling.BICUBIC  # which overshoots
            back = [Image.fromarray(m).resize((width, height), bicubic) for m in total]
            total = np.stack([np.asarray(m) for m in back]).clip(0, 1)
        return np.asarray(total)


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on the device, in channels-last layout (a tenth faster on the CPU, too)."""
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _at_speed(runtime: str, networks: list[Any], device: torch.device) -> list[nn.Module]:
    """The networks as a runtime has them; see Model."""
    if runtime not in get_args(Runtime):
        known = ", ".join(get_args(Runtime))
        raise ConfigError(f"runtime: found {runtime!r}, expected one of {known}")
    if runtime == "torch" or (runtime == "auto" and device.type != "cpu"):
        return networks
    if device.type != "cpu":
        raise ConfigError(
            f"device: found {device.type} for the runtime {runtime}, which works on the CPU; "
            "give --device cpu, or --runtime torch"
        )
    keep_freed_memory()
    return [fast(network, FAST.get(runtime, torch.float32)) for network in networks]
