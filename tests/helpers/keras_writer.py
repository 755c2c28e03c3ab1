"""Files as Keras writes them, made with h5py from our golden networks.

The layout was compared with files of Keras 2.13 and tf-keras 2.21.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from golden_weights import golden_network, ordered
from numpy.typing import NDArray
from torch import nn

Tensors = dict[str, NDArray[Any]]


@dataclass
class Layer:
    """A layer of a functional model; tensors in Keras's layout, in its order."""

    class_name: str
    name: str
    inputs: list[str]
    config: dict[str, Any]
    tensors: Tensors = field(default_factory=dict)


@dataclass
class Model:
    """A functional model as it is put together: layers in the order of creation."""

    layers: list[Layer] = field(default_factory=list)
    numbers: Counter[str] = field(default_factory=Counter)

    def add(
        self,
        class_name: str,
        *inputs: str,
        tensors: Tensors | None = None,
        name: str | None = None,
        **config: Any,
    ) -> str:
        stem = stem_of(class_name)
        if name is None:
            number = self.numbers[stem]
            name = f"{stem}_{number}" if number else stem
            self.numbers[stem] += 1
        self.layers.append(
            Layer(class_name, name, list(inputs), {"name": name} | config, tensors or {})
        )
        return name

    def of(self, name: str) -> Layer:
        return next(layer for layer in self.layers if layer.name == name)


def stem_of(class_name: str) -> str:
    stems = {"Conv2D": "conv2d", "Conv2DTranspose": "conv2d_transpose", "Lambda": "lambda"}
    return stems.get(class_name) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", class_name).lower()


def weights(network: nn.Module) -> list[Tensors]:
    """Of every layer in the order of use: its tensors, in Keras's layout."""
    found: list[Tensors] = []
    for role, tensor in ordered(network):
        values = tensor.detach().numpy().astype(np.float32)
        if role in ("conv", "up"):
            # conv (out, in, kh, kw) → (kh, kw, in, out); up (in, out, kh, kw) → (kh, kw, out, in)
            found.append({"kernel": np.ascontiguousarray(values.transpose(2, 3, 1, 0))})
        elif role == "gamma":
            found.append({"gamma": values})
        elif "kernel" in found[-1]:
            found[-1]["bias"] = values
        else:
            names = ("beta", "moving_mean", "moving_variance")
            found[-1][names[len(found[-1]) - 1]] = values
    return found


def golden_model(
    network: str, start: int = 0, custom: bool = False, swap: bool = False, **norm: Any
) -> Model:
    """The published graph around the golden weights.

    start: number of the first conv2d. custom: names of their own for the gate and the transposed
    convolutions. swap: joins [skip, upsampled] instead. norm: config of the normalisations.
    """
    golden = golden_network(network)
    given = iter(weights(golden))
    model = Model(numbers=Counter({"conv2d": start, "batch_normalization": start}))
    norm_class = "BatchNormalization" if network == "sa-unet" else "GroupNormalization"
    norm = {"epsilon": 1e-3, "axis": [3] if network == "sa-unet" else -1} | norm

    def conv(x: str, name: str | None = None, side: int = 3) -> str:
        config = {"kernel_size": [side, side], "strides": [1, 1], "padding": "same"}
        return model.add("Conv2D", x, tensors=next(given), name=name, **config)

    def unit(x: str) -> str:
        x = model.add("DropBlock", conv(x))
        x = model.add(norm_class, x, tensors=next(given), **norm)
        return model.add("Activation", x)

    def gate(*sources: str, scaled: str, name: str | None = None) -> str:
        joined = model.add("Concatenate", *(model.add("Lambda", source) for source in sources))
        return model.add("Multiply", scaled, conv(joined, name, side=7))

    x = model.add("InputLayer")
    skips = []
    for _ in range(3):
        x = unit(unit(x))
        skips.append(x)
        x = model.add("MaxPooling2D", x)
    x = unit(x)
    x = unit(gate(x, x, scaled=x, name="attention" if custom else None))
    for level, skip in enumerate(reversed(skips)):
        config = {"kernel_size": [3, 3], "strides": [2, 2], "padding": "same"}
        name = f"deconv_{level}" if custom else None
        up = model.add("Conv2DTranspose", x, tensors=next(given), name=name, **config)
        if network == "sa-unet-v2":
            skip = gate(skip, up, scaled=skip)
        x = unit(unit(model.add("Concatenate", *((skip, up) if swap else (up, skip)))))
    config = {"kernel_size": [1, 1], "strides": [1, 1], "padding": "valid"}
    model.add("Activation", model.add("Conv2D", x, tensors=next(given), **config))
    assert next(given, None) is None
    return model


def keras2_weights(path: Path, model: Model, order: Sequence[Layer] | None = None) -> Path:
    """`save_weights('….h5')`. order: of `layer_names`."""
    with h5py.File(path, "w") as file:
        _keras2_layers(file, order or model.layers)
        file.create_group("top_level_model_weights").attrs["weight_names"] = []
    return path


def keras2_model(path: Path, model: Model, order: Sequence[Layer] | None = None) -> Path:
    """`save('….h5')`: weights, config and the optimiser's state."""
    with h5py.File(path, "w") as file:
        _keras2_layers(file.create_group("model_weights"), order or model.layers)
        file.attrs["model_config"] = json.dumps(_config(order or model.layers))
        file["optimizer_weights/Adam/iterations:0"] = np.int64(7)
    return path


def _keras2_layers(root: Any, layers: Sequence[Layer]) -> None:
    root.attrs["layer_names"] = [layer.name.encode() for layer in layers]
    root.attrs["keras_version"] = b"2.3.1"
    for layer in layers:
        names = [f"{layer.name}/{role}:0" for role in layer.tensors]
        group = root.create_group(layer.name)
        group.attrs["weight_names"] = [name.encode() for name in names]
        for name, values in zip(names, layer.tensors.values(), strict=True):
            group[name] = values


def _config(layers: Sequence[Layer]) -> dict[str, Any]:
    found = [
        {
            "class_name": layer.class_name,
            "name": layer.name,
            "config": layer.config,
            "inbound_nodes": [[[name, 0, 0, {}] for name in layer.inputs]] if layer.inputs else [],
        }
        for layer in layers
    ]
    return {"class_name": "Functional", "config": {"name": "model", "layers": found}}
