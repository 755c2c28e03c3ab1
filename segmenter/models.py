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
    """One or several trained networks and the threshold that was chosen on validation images."""

    def __init__(
        self, networks: Sequence[nn.Module], threshold: float, device: torch.device
    ) -> None:
        self.networks = [place(network, device).eval() for network in networks]
        self.threshold = threshold
        self.device = device

    @classmethod
    def load(cls, folder: Path, device: torch.device | None = None) -> Model:
        """Read a model folder. Raises CheckpointError naming the file and the tensor."""
        members, threshold = read_members(folder)
        networks = []
        for member, tensors in members:
            network = build(member.network, **member.options)
            load_strict(network, tensors, folder / member.file)
            networks.append(network)
        return cls(networks, threshold, device or pick_device("auto"))

    @torch.inference_mode()
    def predict(self, image: NDArray[np.uint8], flips: bool = False) -> NDArray[np.float32]:
        """Vessel probability [H, W] in [0, 1] of an RGB image [H, W, 3], at its own resolution.

        Several networks: the mean of their probabilities. flips: the mean over the image and its
        three mirror images, too.
        """
        x = as_input(image).to(self.device).contiguous(memory_format=torch.channels_last)
        mirrors: list[tuple[int, ...]] = [(), (-1,), (-2,), (-2, -1)] if flips else [()]
        probs = [
            torch.sigmoid(network(x.flip(axes)).float()).flip(axes)
            for network in self.networks
            for axes in mirrors
        ]
        return torch.stack(probs).mean(0)[0, 0].cpu().numpy()


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on the device, in channels-last layout (a tenth faster on the CPU, too)."""
    return network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def as_input(image: NDArray[np.uint8]) -> Tensor:
    """[H, W, 3] uint8 → [1, 3, H, W] float32 in [0, 1]: division by 255 and nothing else."""
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
