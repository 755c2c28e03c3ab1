"""Reading the `.h5` files that Keras writes, weights or whole models, without Keras.

One HDF5 group a layer, their order in the attribute `layer_names`: Keras 2's layout, in which every
Keras writes `model.save("….h5")`. Nothing from a file is executed, links out of it lead nowhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import CheckpointError, ConfigError

MAX_NUMBERS = 2**23
"""Of all tensors read from a file; the family's largest network has 2,161,649."""
NO_CONFIG = '{"config": {"layers": []}}'


@dataclass(frozen=True)
class Layer:
    """A layer with weights. tensors: by role (kernel, bias, gamma, …), as Keras names them, in its
    layout; paths: where each lies."""

    name: str
    tensors: dict[str, NDArray[Any]] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """`kernel` (a convolution, transposed or not), `norm` or `other`."""
        kernel = self.tensors.get("kernel")
        if kernel is not None and kernel.ndim == 4:
            return "kernel"
        return "norm" if "gamma" in self.tensors or "beta" in self.tensors else "other"


def read_keras(path: Path) -> tuple[str | None, list[Layer], list[dict[str, Any]]]:
    """(version of Keras, layers in the order in which data flows through them, what the file says
    of their arithmetic with their names and classes) of a file; one of weights alone says nothing.

    Raises CheckpointError naming the file and what is wrong, ConfigError without h5py.
    """
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
            root = file.get("model_weights", file)
            if "layer_names" not in root.attrs:
                raise CheckpointError(
                    f"{path}: found no attribute layer_names, which lists the layers of a .h5 of "
                    'Keras in their order; write one with `model.save("model.h5")`'
                )
            version = root.attrs.get("keras_version")
            config = json.loads(_text(file.attrs.get("model_config", NO_CONFIG)))
            layers, configs = _layers(path, root), list(config["config"]["layers"])
            return None if version is None else _text(version), layers, configs
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: not a whole HDF5 file of Keras ({error}); expected a .h5, as "
            '`model.save("model.h5")` writes it; copy the file again'
        ) from error


def _layers(path: Path, root: Any) -> list[Layer]:
    """By `layer_names` and, of each layer, `weight_names`; the latter are paths in its group.

    Tensors of strangers' files are read whole into memory, or refused: CheckpointError.
    """
    found: dict[str, Layer] = {}
    numbers = 0
    for group in map(_text, root.attrs["layer_names"]):
        for weight in map(_text, root[group].attrs["weight_names"]):
            name = f"{group}/{weight}"
            dataset = _stored(path, root, name)
            numbers += dataset.size or 0
            if numbers > MAX_NUMBERS:  # before unpacking: a few bytes can claim any size
                raise CheckpointError(
                    f"{path}: more than {MAX_NUMBERS:,} numbers up to tensor {name} of shape "
                    f"{list(dataset.shape)}; no network of this family has as many"
                )
            # A model used as a layer has the weights of many; their own names tell them apart.
            *_, owner, last = name.split("/")
            layer, role = found.setdefault(owner, Layer(owner)), last.split(":")[0]
            layer.tensors[role], layer.paths[role] = np.asarray(dataset[()]), name
    return list(found.values())


def _stored(path: Path, root: Any, name: str) -> Any:
    """The tensor called `name`, unread. Raises CheckpointError for what lies elsewhere."""
    import h5py

    parts = name.split("/")
    for end in range(1, len(parts) + 1):
        if not isinstance(root.get("/".join(parts[:end]), getlink=True), h5py.HardLink):
            raise CheckpointError(
                f"{path}: tensor {name} is listed, but is missing or a link to elsewhere; copy the "
                "file again"
            )
    dataset = root[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
        raise CheckpointError(f"{path}: {name} is no tensor stored in this file; refused")
    return dataset


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
