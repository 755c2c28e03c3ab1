"""`segmenter import`: published weights of the SA-UNet family, from Keras's files to our folders.

Kernels are transposed and nothing else: conv (kh, kw, in, out) → (out, in, kh, kw), transposed conv
(kh, kw, out, in) → (in, out, kh, kw), without mirroring. Layers are matched by kind, in the order
of use; every shape is checked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vesselforge.configs.errors import CheckpointError, ConfigError
from vesselforge.engine.files import file_sha256, write_json
from vesselforge.engine.folders import whole_folder
from vesselforge.segmenter.exchange.keras_file import KerasFile, Layer, read_keras
from vesselforge.segmenter.model_files import DESCRIPTIONS, Member, parameters_of, save_model
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.sa_unet import VARIANTS

AUTO = "auto"
ORIGIN = "import.json"
KERNEL_AXES = (3, 2, 0, 1)
"""Keras's axes in PyTorch's order, for both kinds: the channel that is third here is the input of
a convolution, but the output of a transposed one, and so it is second in PyTorch's layouts."""
ROLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


EXPECTED: dict[str, dict[str, Any]] = {
    "Conv2D": {"strides": 1, "dilation_rate": 1, "groups": 1, "data_format": "channels_last"},
    "Conv2DTranspose": {"strides": 2, "dilation_rate": 1, "padding": "same"},
    "BatchNormalization": {"epsilon": 1e-3},
    "GroupNormalization": {"epsilon": 1e-3, "groups": 8},
}
"""What the layers of this family compute with, by Keras's class."""


@dataclass(frozen=True)
class Slot:
    """A layer of our network that wants weights. shapes: by Keras's role, in Keras's layout."""

    name: str
    kind: str
    shapes: dict[str, tuple[int, ...]]


def import_keras(
    path: Path, out: Path, network: str = AUTO, threshold: float = 0.5, force: bool = False
) -> dict[str, Any]:
    """Write the model folder `out`, whole or not at all, and return what is in it.

    network: a name of the family, or `auto`: the one that the tensors fit. threshold: of the mask;
    the published protocol has 0.5. force: replace an earlier model. Raises CheckpointError for a
    file that is not Keras's or not of that network, ConfigError when `out` is in the way.
    """
    if network not in (AUTO, *VARIANTS):
        known = ", ".join([AUTO, *VARIANTS])
        raise ConfigError(f"--network: found {network}; Keras weights exist for {known}")
    if not 0 < threshold < 1:
        raise ConfigError(f"--threshold: found {threshold}, expected a number between 0 and 1")
    refuse_to_overwrite(out, force)
    content = read_keras(path)
    _check_arithmetic(path, content.configs)
    name = _recognise(path, content) if network == AUTO else network
    pairs = match(path, content.layers, name)
    tensors = _convert(path, pairs, build(name))
    origin = {
        "source": path.name,
        "sha256": file_sha256(path),
        "bytes": path.stat().st_size,
        "layout": content.layout,
        "keras_version": content.version,
        "network": name,
        "layers": {slot.name: layer.name for slot, layer in pairs},
    }
    with whole_folder(out) as aside:
        save_model(
            aside, [(Member(name, {}, "model.safetensors"), tensors)], threshold, "model.json"
        )
        write_json(aside / ORIGIN, origin)
    counted = {"threshold": threshold, "parameters": parameters_of(tensors)}
    return {"folder": str(out)} | counted | origin


def refuse_to_overwrite(out: Path, force: bool) -> None:
    """Raise ConfigError where a model's folder cannot be written, or may not be without force."""
    if not out.exists() and not out.is_symlink():
        return
    model = out.is_dir() and any((out / name).is_file() for name in DESCRIPTIONS)
    if not model and not (out.is_dir() and not any(out.iterdir())):
        raise ConfigError(f"{out}: exists and is no model's folder; choose another name")
    if model and not force:
        raise ConfigError(f"{out}: holds a model already; choose another name, or give --force")


@cache
def slots(name: str) -> tuple[Slot, ...]:
    """The layers of one of our networks in the order in which a forward pass uses them."""
    network = build(name).eval()
    names = {module: path for path, module in network.named_modules()}
    found: list[Slot] = []

    def note(module: nn.Module, *_: Any) -> None:
        found.append(_slot(names[module], module))

    for module in names:
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_hook(note)
    with torch.inference_mode():
        network(torch.zeros(1, 3, network.multiple, network.multiple))
    return tuple(found)


def _slot(name: str, module: nn.Module) -> Slot:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        weight, kind = tuple(module.weight.shape), "conv"
        out_channels = module.out_channels
        if isinstance(module, nn.ConvTranspose2d):
            kind = "up"
        shapes = {"kernel": (*weight[2:], weight[1], weight[0])}
        return Slot(name, kind, shapes | ({} if module.bias is None else {"bias": (out_channels,)}))
    assert isinstance(module, nn.BatchNorm2d | nn.GroupNorm)
    count = module.weight.shape
    roles = ["gamma", "beta"]
    if isinstance(module, nn.BatchNorm2d):
        roles += ["moving_mean", "moving_variance"]
    return Slot(name, "norm", {role: tuple(count) for role in roles})


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


def _recognise(path: Path, content: KerasFile) -> str:
    """The one network that all tensors fit; CheckpointError with the nearest one's first misfit."""
    fitting, nearest = [], ("", -1.0)
    found = Counter(tensor for layer in content.layers for tensor in _shapes(layer).items())
    for name in VARIANTS:
        wanted = Counter(tensor for slot in slots(name) for tensor in slot.shapes.items())
        try:
            match(path, content.layers, name)
            fitting.append(name)
        except CheckpointError:
            likeness = 2 * (wanted & found).total() / (wanted.total() + found.total())  # Dice
            nearest = max(nearest, (name, likeness), key=lambda pair: pair[1])
    if not fitting:
        match(path, content.layers, nearest[0])  # raises
    if len(fitting) > 1:
        names = " and ".join(fitting)
        raise CheckpointError(
            f"{path}: fits {names}, which differ only in training; say which with --network"
        )
    return fitting[0]


def match(path: Path, layers: list[Layer], name: str) -> list[tuple[Slot, Layer]]:
    """Every layer of our network `name` with its layer in the file; CheckpointError at the first
    tensor that is missing, unknown, or of another shape."""
    # Without the classes of its layers a file still has their order, in which the two kinds of
    # convolution take turns.
    blurred = any(layer.kind == "kernel" for layer in layers)

    def kind(of: Slot | Layer) -> str:
        return "kernel" if blurred and of.kind in ("conv", "up") else of.kind

    pairs: list[tuple[Slot, Layer]] = []
    for each in ("conv", "up", "kernel", "norm", "other"):
        ours = [slot for slot in slots(name) if kind(slot) == each]
        theirs = [layer for layer in layers if kind(layer) == each]
        if len(ours) != len(theirs):
            _name_the_odd_one(path, name, ours, theirs)
        pairs += zip(ours, theirs, strict=True)
    for slot, layer in pairs:
        _same_tensors(path, name, slot, layer)
    place = {slot.name: number for number, slot in enumerate(slots(name))}
    return sorted(pairs, key=lambda pair: place[pair[0].name])


def _name_the_odd_one(path: Path, name: str, ours: list[Slot], theirs: list[Layer]) -> None:
    """Raises CheckpointError naming the first layer that the other side does not have."""
    pairs = zip(ours, theirs, strict=False)
    differing = (i for i, (slot, layer) in enumerate(pairs) if slot.shapes != _shapes(layer))
    at = next(differing, min(len(ours), len(theirs)))
    numbers = f"found {len(theirs)} such layers, expected {len(ours)}; is it of another network?"
    if len(ours) > len(theirs):
        role, shape = next(iter(ours[at].shapes.items()))
        raise CheckpointError(
            f"{path}: tensor {ours[at].name}.{ROLES[role]} of {name} (Keras: a {role} of shape "
            f"{list(shape)}) is missing from the file: {numbers}"
        )
    role, shape = next(iter(_shapes(theirs[at]).items()))
    raise CheckpointError(
        f"{path}: tensor {theirs[at].paths[role]} of shape {list(shape)} has no place in {name}: "
        f"{numbers}"
    )


def _same_tensors(path: Path, name: str, slot: Slot, layer: Layer) -> None:
    found = _shapes(layer)
    for role, shape in slot.shapes.items():
        ours = f"{slot.name}.{ROLES[role]} of {name}"
        if role not in found:
            raise CheckpointError(
                f"{path}: layer {layer.name} has no {role}; expected one of shape {list(shape)} "
                f"for {ours}"
            )
        if found[role] != shape:
            raise CheckpointError(
                f"{path}: tensor {layer.paths[role]} has shape {list(found[role])}, expected "
                f"{list(shape)} for {ours}; is it of another network?"
            )
    for role in found.keys() - slot.shapes.keys():
        raise CheckpointError(
            f"{path}: tensor {layer.paths[role]} ({role}) has no place in {slot.name} of {name}; "
            "is it of another network?"
        )


def _shapes(layer: Layer) -> dict[str, tuple[int, ...]]:
    return {role: tensor.shape for role, tensor in layer.tensors.items()}


def _convert(
    path: Path, pairs: list[tuple[Slot, Layer]], network: nn.Module
) -> dict[str, torch.Tensor]:
    """The network's state with all numbers from the file."""
    state = network.state_dict()
    for slot, layer in pairs:
        for role in slot.shapes:
            values = _checked(path, layer, role)
            if role == "kernel":
                values = values.transpose(KERNEL_AXES)
            state[f"{slot.name}.{ROLES[role]}"] = torch.from_numpy(np.ascontiguousarray(values))
    network.load_state_dict(state)
    return network.state_dict()


def _checked(path: Path, layer: Layer, role: str) -> NDArray[np.float32]:
    """A tensor's numbers; CheckpointError when some are none."""
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
    return values.astype(np.float32)
