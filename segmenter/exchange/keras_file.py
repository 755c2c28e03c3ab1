"""Reading the `.h5` files that Keras writes, weights or whole models, without Keras.

One HDF5 group a layer, their order in the attribute `layer_names`: Keras 2's layout, in which every
Keras writes `model.save("….h5")`. Nothing from a file is executed, links out of it lead nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import CheckpointError, ConfigError

MAX_NUMBERS = 2**23
"""Of all tensors read from a file; the family's largest network has 2,161,649."""


@dataclass(frozen=True)
class Layer:
    """A layer with weights. tensors: by role (kernel, bias, gamma, …), as Keras names them, in its
    layout; paths: where each lies."""

    name: str
    tensors: dict[str, NDArray[Any]]
    paths: dict[str, str]

    @property
    def kind(self) -> str:
        """`kernel` (a convolution, transposed or not), `norm` or `other`."""
        kernel = self.tensors.get("kernel")
        if kernel is not None and kernel.ndim == 4:
            return "kernel"
        return "norm" if "gamma" in self.tensors or "beta" in self.tensors else "other"


@dataclass(frozen=True)
class KerasFile:
    """What a weight file holds. layers: in the order in which data flows through them. configs:
    what the file says of its layers' arithmetic, with their names and classes; a file of weights
    says nothing."""

    version: str | None
    layers: list[Layer]
    configs: list[dict[str, Any]]


def read_keras(path: Path) -> KerasFile:
    """Read a file. Raises CheckpointError naming it and what is wrong."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weight file; expected a .h5 of Keras")
    try:
        import h5py
    except ImportError as error:
        raise ConfigError(
            f"{path}: reading Keras weights needs h5py; `pip install 'vesselforge[keras]'`"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            config: Any = {"config": {"layers": []}}
            if "model_config" in file.attrs:
                config = json.loads(_text(file.attrs["model_config"]))
            root = file.get("model_weights", file)
            if "layer_names" not in root.attrs:
                raise CheckpointError(
                    f"{path}: found no attribute layer_names, which lists the layers of a .h5 of "
                    'Keras in their order; write one with `model.save("model.h5")`'
                )
            version = root.attrs.get("keras_version")
            version = None if version is None else _text(version)
            return KerasFile(version, list(_layers(path, root)), list(config["config"]["layers"]))
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: not a whole HDF5 file of Keras ({error}); expected a .h5, as "
            '`model.save("model.h5")` writes it; copy the file again'
        ) from error


def _layers(path: Path, root: Any) -> Iterator[Layer]:
    """By `layer_names` and, of each layer, `weight_names`; the latter are paths in its group."""
    tensors = _Tensors(path, root)
    found: dict[str, dict[str, str]] = {}
    for layer in map(_text, root.attrs["layer_names"]):
        for weight in map(_text, root[layer].attrs["weight_names"]):
            # A model used as a layer has the weights of many; their own names tell them apart.
            *parents, last = weight.split("/")
            owner = parents[-1] if parents else layer
            found.setdefault(owner, {})[last.split(":")[0]] = f"{layer}/{weight}"
    for name, paths in found.items():
        yield Layer(name, {role: tensors.read(place) for role, place in paths.items()}, paths)


class _Tensors:
    """Tensors of strangers' files: read whole into memory, or refused."""

    def __init__(self, path: Path, root: Any) -> None:
        self.path, self.root, self.numbers = path, root, 0

    def read(self, name: str) -> NDArray[Any]:
        """The tensor called `name`. Raises CheckpointError for a link, and beyond MAX_NUMBERS."""
        import h5py

        parts = name.split("/")
        for end in range(1, len(parts) + 1):
            if not isinstance(self.root.get("/".join(parts[:end]), getlink=True), h5py.HardLink):
                raise CheckpointError(
                    f"{self.path}: tensor {name} is listed, but is missing or a link to "
                    "elsewhere; copy the file again"
                )
        dataset = self.root[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
            raise CheckpointError(f"{self.path}: {name} is no tensor stored in this file; refused")
        self.numbers += dataset.size or 0
        if self.numbers > MAX_NUMBERS:  # before unpacking: a few bytes can claim any size
            raise CheckpointError(
                f"{self.path}: more than {MAX_NUMBERS:,} numbers up to tensor {name} of shape "
                f"{list(dataset.shape)}; no network of this family has as many"
            )
        return np.asarray(dataset[()])


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
