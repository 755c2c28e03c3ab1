"""Reading the weight files that Keras writes, without Keras: which layers, in which order.

Three layouts exist. Keras 2 (`.h5`, weights or whole model): one HDF5 group a layer, their order
in the attribute `layer_names`. Keras 3 (`.weights.h5`): groups named by class and number, tensors
numbered. `.keras`: a zip archive of such a file and `config.json`. Nothing from a file is executed
or unpacked to disk, links out of a file are not followed.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import CheckpointError, ConfigError

ROOTS = ("layers", "_layer_checkpoint_dependencies")
"""Where Keras 3, and Keras 2.12 to 2.15 in the same layout, keep a functional model's layers."""
WEIGHTS, CONFIG = "model.weights.h5", "config.json"
MAX_MEMBER = 2**28
"""Bytes of an archive's member, unpacked."""
MAX_NUMBERS = 2**23
"""Of all tensors read from a file; the family's largest network has 2,161,649."""
KERNEL, NORM = ("kernel", "bias"), ("gamma", "beta", "moving_mean", "moving_variance")
KINDS = {"conv2d": "conv", "conv2d_transpose": "up"}


@dataclass(frozen=True)
class Layer:
    """A layer with weights. tensors: by role (kernel, bias, gamma, …), as Keras names them, in its
    layout; paths: where each lies.

    kind: `conv`, `up` (transposed convolution) or `norm`; `kernel`: one of the first two, which
    of them the file does not say; `other`.
    """

    name: str
    tensors: dict[str, NDArray[Any]]
    paths: dict[str, str]

    @property
    def kind(self) -> str:
        kernel = self.tensors.get("kernel")
        if kernel is None or kernel.ndim != 4:
            return "norm" if "gamma" in self.tensors or "beta" in self.tensors else "other"
        return KINDS.get(stem_of(self.name.rsplit("/", 1)[-1]), "kernel")


@dataclass(frozen=True)
class KerasFile:
    """What a weight file holds. layers: in the order in which data flows through them. configs:
    what the file says of its layers' arithmetic, with their names and classes."""

    layout: str
    version: str | None
    layers: list[Layer]
    configs: list[dict[str, Any]]


def stem_of(name: str) -> str:
    """conv2d_12 → conv2d."""
    return re.sub(r"_\d+$", "", name)


def read_keras(path: Path) -> KerasFile:
    """Read any of the layouts. Raises CheckpointError naming the file and what is wrong."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weight file; expected a .h5 or .keras of Keras")
    try:
        import h5py
    except ImportError as error:
        raise ConfigError(
            f"{path}: reading Keras weights needs h5py; `pip install 'vesselforge[keras]'`"
        ) from error
    content: Path | io.BytesIO = path
    config: Any = None
    if archive := zipfile.is_zipfile(path):
        content, config = _unpacked(path)
    try:
        with h5py.File(content, "r") as file:
            if "model_config" in file.attrs:
                config = json.loads(_text(file.attrs["model_config"]))
            configs = [] if config is None else list(config["config"]["layers"])
            root = file.get("model_weights", file)
            version = root.attrs.get("keras_version")
            version = None if version is None else _text(version)
            if "layer_names" in root.attrs:
                layout = "Keras 2 model" if "model_config" in file.attrs else "Keras 2 weights"
                return KerasFile(layout, version, list(_keras2_layers(path, root)), configs)
            layout = ".keras archive" if archive else "Keras 3 weights"
            return KerasFile(layout, version, _keras3_layers(path, file), configs)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path}: not a whole HDF5 file of Keras ({error}); expected .h5, .weights.h5 or "
            ".keras; copy the file again"
        ) from error


def _unpacked(path: Path) -> tuple[io.BytesIO, Any]:
    """The weights and the config of a `.keras` archive, in memory."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in (CONFIG, WEIGHTS):
                if name not in archive.namelist():
                    found = ", ".join(archive.namelist()[:8]) or "nothing"
                    raise CheckpointError(
                        f"{path}: a zip archive, but not of Keras: found {found}; expected {name} "
                        "at its top, as `model.save('….keras')` writes it"
                    )
                if archive.getinfo(name).file_size > MAX_MEMBER:  # zipfile reads no more than that
                    raise CheckpointError(
                        f"{path}: {name} unpacks to more than {MAX_MEMBER:,} bytes; it is no model "
                        "of this family"
                    )
            return io.BytesIO(archive.read(WEIGHTS)), json.loads(archive.read(CONFIG))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: damaged .keras archive ({error}); copy the file again"
        ) from error


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


def _keras2_layers(path: Path, root: Any) -> Iterator[Layer]:
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


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _keras3_layers(path: Path, file: Any) -> list[Layer]:
    """`layers/conv2d_3/vars/0`: layers numbered within their class, in the model's order."""
    root = next((name for name in ROOTS if name in file), None)
    if root is None:
        found = ", ".join(list(file)[:8]) or "nothing"
        raise CheckpointError(
            f"{path}: an HDF5 file, but not of Keras weights: found {found}; expected the "
            "attribute layer_names, or a group model_weights or layers"
        )
    tensors, layers = _Tensors(path, file), []
    groups: list[str] = []
    file[root].visit(lambda name: groups.append(name) if name.endswith("/vars") else None)
    for group in sorted(groups, key=_natural):
        names = sorted(file[f"{root}/{group}"], key=_natural)
        values = [tensors.read(f"{root}/{group}/{name}") for name in names]
        if not values or all(value.dtype.kind in "iu" for value in values):
            continue  # nothing, or the state of a dropout's random numbers
        known = KERNEL if values[0].ndim == 4 else NORM
        roles = [*known, *(f"variable {n}" for n in range(len(known), len(values)))]
        paths = {r: f"{root}/{group}/{n}" for r, n in zip(roles, names, strict=False)}
        each = dict(zip(roles, values, strict=False))
        layers.append(Layer(f"{root}/{group.removesuffix('/vars')}", each, paths))
    first: dict[str, Layer] = {}
    for layer in layers:
        other = first.setdefault(layer.kind, layer)
        if layer.kind == "kernel" or stem_of(layer.name) != stem_of(other.name):
            raise CheckpointError(
                f"{path}: this file does not tell when {layer.name} is used; import a .h5 that "
                "Keras 2 wrote, which lists its layers in their order"
            )
    return layers


def _natural(name: str) -> list[tuple[str, int]]:
    """Sorts conv2d, conv2d_2, conv2d_10 in this order."""
    found = (re.fullmatch(r"(.*?)_?(\d*)", part) for part in name.split("/"))
    return [(match[1], int(match[2] or 0)) if match else ("", 0) for match in found]
