"""`segmenter import`: published weights of the SA-UNet family, from Keras's files to our folders.

Kernels are transposed and nothing else: conv (kh, kw, in, out) → (out, in, kh, kw), transposed conv
(kh, kw, out, in) → (in, out, kh, kw), without mirroring. Layers are matched by kind, in the order
of use; every shape is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vesselforge.configs.choices import unknown
from vesselforge.configs.errors import CheckpointError, ConfigError
from vesselforge.engine.files import (
    file_sha256,
    refuse_to_overwrite,
    whole_folder,
    write_json,
)
from vesselforge.segmenter.exchange.keras_file import Layer, read_keras
from vesselforge.segmenter.model_files import DESCRIPTIONS, Member, parameters_of, save_model
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.sa_unet import VARIANTS

AUTO = "auto"
ORIGIN = "import.json"
KERNEL_AXES = (3, 2, 0, 1)
"""Keras's axes in PyTorch's order, for both kinds: the channel that is third here is the input of
a convolution, but the output of a transposed one, and so it is second in PyTorch's layouts."""
ROLES = {
    "kernel": {"kernel": "weight", "bias": "bias"},
    "norm": {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    },
}
"""Of a convolution (transposed or not) and of a normalisation: Keras's names of tensors → ours."""
EXPECTED: dict[str, dict[str, Any]] = {
    "Conv2D": {"strides": 1, "dilation_rate": 1, "groups": 1, "data_format": "channels_last"},
    "Conv2DTranspose": {"strides": 2, "dilation_rate": 1, "padding": "same"},
    "BatchNormalization": {"epsilon": 1e-3},
    "GroupNormalization": {"epsilon": 1e-3, "groups": 8},
}
"""What the layers of this family compute with, by Keras's class."""


@dataclass(frozen=True)
class Slot:
    """A layer of our network that wants weights. kind: of ROLES. shapes: by Keras's role, in
    Keras's layout."""

    name: str
    kind: str
    shapes: dict[str, tuple[int, ...]]

    def ours(self, role: str) -> str:
        """The name of a tensor in our network."""
        return f"{self.name}.{ROLES[self.kind][role]}"


def import_keras(
    path: Path, out: Path, network: str = AUTO, threshold: float = 0.5, force: bool = False
) -> dict[str, Any]:
    """Write the model folder `out`, whole or not at all, and return what is in it.

    network: a name of the family, or `auto`: the one that the tensors fit. threshold: of the mask;
    the published protocol has 0.5. force: replace an earlier model. Raises CheckpointError for a
    file that is not Keras's or not of that network, ConfigError when `out` is in the way.
    """
    if network not in (AUTO, *VARIANTS):
        raise ConfigError(f"--network: {unknown(network, [AUTO, *VARIANTS])}")
    if not 0 < threshold < 1:
        raise ConfigError(f"--threshold: found {threshold}, expected a number between 0 and 1")
    refuse_to_overwrite(out, "model", DESCRIPTIONS, force)
    version, layers, configs = read_keras(path)
    _check_arithmetic(path, configs)
    name = _recognise(path, layers) if network == AUTO else network
    pairs = match(path, layers, name)
    tensors = build(name).state_dict()
    for slot, layer in pairs:
        tensors |= {slot.ours(role): _converted(path, layer, role) for role in slot.shapes}
    origin = {
        "source": path.name,
        "sha256": file_sha256(path),
        "bytes": path.stat().st_size,
        "keras_version": version,
        "network": name,
        "layers": {slot.name: layer.name for slot, layer in pairs},
    }
    with whole_folder(out) as aside:
        save_model(aside, [(Member(name, {}, "model.safetensors"), tensors)], threshold)
        write_json(aside / ORIGIN, origin)
    counted = {"threshold": threshold, "parameters": parameters_of(tensors)}
    return {"folder": str(out)} | counted | origin


@cache
def slots(name: str) -> tuple[Slot, ...]:
    """The layers of one of our networks in the order in which a forward pass uses them."""
    network = build(name).eval()
    names = {module: path for path, module in network.named_modules()}
    found: list[Slot] = []

    def note(module: nn.Module, *_: Any) -> None:
        own = module.state_dict()
        kind = "kernel" if own["weight"].ndim == 4 else "norm"
        sizes = {role: own[ours].shape for role, ours in ROLES[kind].items() if ours in own}
        shapes = {role: (*size[2:], *size[1::-1]) for role, size in sizes.items()}
        found.append(Slot(names[module], kind, shapes))

    for module in names:
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_hook(note)
    with torch.inference_mode():
        network(torch.zeros(1, 3, network.multiple, network.multiple))
    return tuple(found)


def _check_arithmetic(path: Path, configs: list[dict[str, Any]]) -> None:
    """Raise CheckpointError for a layer that computes otherwise although every shape agrees."""
    for entry in configs:
        class_name, config = entry["class_name"].split(">")[-1], entry["config"]
        for setting, expected in EXPECTED.get(class_name, {}).items():
            found = config.get(setting, expected)
            if any(value != expected for value in (found if isinstance(found, list) else [found])):
                raise CheckpointError(
                    f"{path}: layer {config['name']} ({class_name}) has {setting} {found}, our "
                    f"networks compute with {expected}; it is another network"
                )


def _recognise(path: Path, layers: list[Layer]) -> str:
    """The one network that all tensors fit. Raises CheckpointError where that is not one."""
    fitting = []
    for name in VARIANTS:
        try:
            match(path, layers, name)
        except CheckpointError:
            continue
        fitting.append(name)
    if not fitting:
        raise CheckpointError(
            f"{path}: fits none of {', '.join(VARIANTS)}; with --network, what differs from one of "
            "them is said"
        )
    if len(fitting) > 1:
        names = " and ".join(fitting)
        raise CheckpointError(
            f"{path}: fits {names}, which differ only in training; say which with --network"
        )
    return fitting[0]


def match(path: Path, layers: list[Layer], name: str) -> list[tuple[Slot, Layer]]:
    """Every layer of our network `name` with its layer in the file; CheckpointError at the first
    tensor that is missing, unknown, or of another shape."""
    pairs: list[tuple[Slot, Layer]] = []
    for kind in ("kernel", "norm", "other"):
        ours = [slot for slot in slots(name) if slot.kind == kind]
        theirs = [layer for layer in layers if layer.kind == kind]
        for slot, layer in zip_longest(ours, theirs):
            if fault := _fault(slot, layer):
                raise CheckpointError(
                    f"{path}: {fault} of {name} (layers like this: found {len(theirs)}, expected "
                    f"{len(ours)}); is it of another network?"
                )
            pairs.append((slot, layer))
    return pairs


def _fault(slot: Slot | None, layer: Layer | None) -> str:
    """What keeps a layer of the file from being one of ours; empty where nothing does."""
    slot = slot or Slot("any layer", "other", {})
    found, wanted = {} if layer is None else layer.tensors, slot.shapes
    for role in (*wanted, *found):
        expected = f"{list(wanted[role])} for {slot.ours(role)}" if role in wanted else ""
        if role not in found:
            where = "found" if layer is None else f"layer {layer.name} has"
            return f"{where} no {role} of shape {expected}"
        if found[role].shape != wanted.get(role):
            assert layer is not None
            return (
                f"tensor {layer.paths[role]} has shape {list(found[role].shape)}, expected "
                f"{expected or f'no such one for {slot.name}'}"
            )
    return ""


def _converted(path: Path, layer: Layer, role: str) -> Tensor:
    """A tensor in PyTorch's layout; CheckpointError when some of its numbers are none."""
    values, name = layer.tensors[role], layer.paths[role]
    if values.dtype.kind != "f":
        raise CheckpointError(
            f"{path}: tensor {name} is of type {values.dtype}, expected numbers with a fraction "
            "(float32)"
        )
    if bad := int(np.count_nonzero(~np.isfinite(values))):
        raise CheckpointError(
            f"{path}: tensor {name} has {bad} values that are NaN or infinite; the training that "
            "wrote it had failed; take an earlier file"
        )
    if role == "moving_variance" and values.min() < 0:
        raise CheckpointError(f"{path}: tensor {name} is a variance, but below 0; damaged")
    if role == "kernel":
        values = values.transpose(KERNEL_AXES)
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
