"""A trained segmenter on disk, and as something that predicts.

A model folder holds `model.json` (one network) or `ensemble.json` (several) and safetensors files.
Both name their members in the same way; one network is an ensemble of one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from configs.errors import CheckpointError
from data.checkpoints import load_strict, load_tensors, save_tensors
from data.devices import pick_device
from data.store import write_json
from segmenter.inference.runtimes import ON_CPU, Runtime, TorchRuntime, start, start_exported
from segmenter.inference.tiles import Tiling, Watch, tiled
from segmenter.networks import build

DESCRIPTIONS = ("model.json", "ensemble.json")


@dataclass(frozen=True)
class Member:
    """A network of a model folder: registry name, constructor options, weight file."""

    network: str
    options: dict[str, Any]
    file: str


def save_model(
    folder: Path,
    members: list[tuple[Member, dict[str, Tensor]]],
    threshold: float,
    description: str,
) -> None:
    """Write weights, then the description that makes the folder a model."""
    for member, tensors in members:
        (folder / member.file).parent.mkdir(parents=True, exist_ok=True)
        save_tensors(folder / member.file, tensors)
    write_json(
        folder / description,
        {
            "members": [vars(member) for member, _ in members],
            "threshold": threshold,
            "parameters": sum(_count(tensors) for _, tensors in members),
        },
    )


def _count(tensors: dict[str, Tensor]) -> int:
    """Parameters as Keras counts them: running statistics too, PyTorch's batch counters not."""
    return sum(t.numel() for name, t in tensors.items() if not name.endswith("batches_tracked"))


def read_members(folder: Path) -> tuple[list[tuple[Member, dict[str, Tensor]]], float]:
    """([(member, tensors)], threshold). Raises CheckpointError when it is no model folder."""
    path = next((folder / name for name in DESCRIPTIONS if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(
            f"{folder}: no model here; expected a folder with {' or '.join(DESCRIPTIONS)}, as "
            "`vesselforge segmenter train` writes it"
        )
    try:
        content = json.loads(path.read_text())
        members = [Member(**entry) for entry in content["members"]]
        threshold = float(content["threshold"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged model description ({error})") from error
    return [(member, load_tensors(folder / member.file)[0]) for member in members], threshold


class Model:
    """One or several trained networks and the threshold that was chosen on validation images.

    networks: the networks themselves; none in a model that was read from an exported file.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        threshold: float,
        device: torch.device,
        runtime: Runtime | None = None,
        tiling: Tiling = Tiling(),  # noqa: B008 (frozen)
    ) -> None:
        self.networks = [place(network, device).eval() for network in networks]
        self.threshold = threshold
        self.device = device
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
        """Read a model folder, or a .onnx or .xml file that was exported from one.

        runtime: a name in `runtimes.RUNTIMES`; None: plain PyTorch for a folder, the file's own
        for a file. Raises CheckpointError naming the file and the tensor, ConfigError for a
        runtime that cannot be.
        """
        if path.is_file():
            exported = start_exported(runtime or "auto", path, device or torch.device("cpu"))
            threshold = float(exported.facts["threshold"])
            return cls([], threshold, torch.device("cpu"), exported, tiling)
        members, threshold = read_members(path)
        networks = []
        for member, tensors in members:
            network = build(member.network, **member.options)
            load_strict(network, tensors, path / member.file)
            networks.append(network.eval())
        device = device or pick_device("cpu" if runtime in ON_CPU else "auto")
        started = None if runtime is None else start(runtime, networks, device)
        return cls(networks, threshold, device, started, tiling)

    def predict(
        self, image: NDArray[np.uint8], flips: bool = False, watch: Watch | None = None
    ) -> NDArray[np.float32]:
        """Vessel probability [H, W] in [0, 1] of an RGB image [H, W, 3], at its own resolution.

        Several networks: the mean of their probabilities. flips: the mean over the image and its
        three mirror images, too. An image with a side beyond `tiling.side` goes through in tiles.
        watch: told the share that is done after every tile.
        """
        mirrors: list[tuple[int, ...]] = [(), (1,), (0,), (0, 1)] if flips else [()]
        total = np.zeros(image.shape[:2], np.float32)
        for number, axes in enumerate(mirrors):

            def tell(share: float, before: int = number) -> None:
                if watch is not None:
                    watch((before + share) / len(mirrors))

            prob = tiled(
                self.runtime, np.flip(image, axes), self.runtime.multiple, self.tiling, tell
            )
            total += np.flip(prob, axes)
        return total / np.float32(len(mirrors))


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on the device, in channels-last layout (a tenth faster on the CPU, too)."""
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
