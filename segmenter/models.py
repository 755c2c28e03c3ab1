"""A trained segmenter, or several as one, that predicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from vesselforge.engine.devices import pick_device
from vesselforge.segmenter.combine import MEAN, Rule, combine
from vesselforge.segmenter.components import ALL, Components, masked
from vesselforge.segmenter.inference.runtimes import FAST, TorchRuntime, start
from vesselforge.segmenter.inference.tiles import Notify, Tiling, tiled
from vesselforge.segmenter.model_files import read_description, restore


class Model:
    """One or several trained networks, and how a mask is made of their probability: the threshold
    and the rule of components that were chosen on images of the development.

    networks: the networks themselves.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        threshold: float,
        device: torch.device,
        runtime: TorchRuntime | None = None,
        tiling: Tiling = Tiling(),  # noqa: B008 (frozen)
        rule: Rule = MEAN,
        components: Components = ALL,
    ) -> None:
        self.networks = [place(network, device).eval() for network in networks]
        self.threshold = threshold
        self.device = device
        self.rule = rule
        self.components = components
        self.runtime = runtime or TorchRuntime(self.networks, device)
        self.tiling = tiling
        tiling.shared(self.runtime.multiple)  # tiles that are too small are refused here

    @classmethod
    def load(
        cls,
        path: Path,
        device: torch.device | None = None,
        runtime: str | None = None,
        tiling: Tiling = Tiling(),  # noqa: B008 (frozen)
    ) -> Model:
        """Read a model folder.

        runtime: a name in `runtimes.RUNTIMES`; None: plain PyTorch. Raises CheckpointError naming
        the file and the tensor, ConfigError for a runtime that cannot be.
        """
        described = read_description(path)
        networks = [restore(path, member) for member in described.members]
        device = device or pick_device("cpu" if runtime in FAST else "auto")
        started = None if runtime is None else start(runtime, networks, device)
        rules = described.rule, described.components
        return cls(networks, described.threshold, device, started, tiling, *rules)

    def predict(
        self,
        image: NDArray[np.uint8],
        flips: bool = False,
        notify: Notify | None = None,
        scale: float = 1.0,
    ) -> NDArray[np.float32]:
        """Vessel probability [H, W] in [0, 1] of an RGB image [H, W, 3], at its own resolution.

        Several networks: combined by the model's rule. flips: the mean over the image and its
        three mirror images, too, of each member. An image with a side beyond `tiling.side` goes
        through in tiles. notify: told the share that is done after every tile. scale: the network
        sees the image that many times as large.
        """
        return combine(self.rule, self.members(image, flips, notify, scale))

    def mask(
        self, prob: NDArray[np.float32], threshold: float | None = None, scale: float = 1.0
    ) -> NDArray[np.bool_]:
        """Where there are vessels, [H, W] bool, in a map of `predict`. threshold: None: its own.
        scale: how many times as large as the map the image was that the network saw."""
        threshold = self.threshold if threshold is None else threshold
        return masked(prob, threshold, self.components, scale)

    def members(
        self,
        image: NDArray[np.uint8],
        flips: bool = False,
        notify: Notify | None = None,
        scale: float = 1.0,
    ) -> NDArray[np.float32]:
        """The probability map of each member by itself, [n, H, W]; see `predict`."""
        (height, width), seen = image.shape[:2], _resized(image, scale)
        mirrors: list[tuple[int, ...]] = [(), (1,), (0,), (0, 1)] if flips else [()]
        total: NDArray[np.float32] | None = None
        for number, axes in enumerate(mirrors):

            def report(share: float, before: int = number) -> None:
                if notify is not None:
                    notify((before + share) / len(mirrors))

            maps = tiled(
                self.runtime, np.flip(seen, axes), self.runtime.multiple, self.tiling, report
            )
            maps = np.flip(maps, tuple(axis + 1 for axis in axes))
            total = maps if total is None else total + maps
        assert total is not None
        total = total / np.float32(len(mirrors))
        if scale == 1:
            return total
        back = [Image.fromarray(m).resize((width, height), Image.Resampling.BICUBIC) for m in total]
        return np.stack([np.asarray(m) for m in back]).clip(0, 1)  # bicubic overshoots


def _resized(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale == 1:
        return image
    height, width = image.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on the device, in channels-last layout (a tenth faster on the CPU, too)."""
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
