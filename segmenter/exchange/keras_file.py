"""Reading the weight files that Keras writes, without Keras: which layers, in which order.

Three layouts exist. Keras 2 (`.h5`, weights or whole model): one HDF5 group a layer, their order
in the attribute `layer_names`. Keras 3 (`.weights.h5`): groups named by class and number, tensors
numbered. `.keras`: a zip archive of such a file and `config.json`, which has the graph. Nothing
from a file is executed or unpacked to disk, links out of a file are not followed.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import CheckpointError
from vesselforge.segmenter.exchange.keras_graph import Graph
from vesselforge.segmenter.exchange.keras_hdf5 import Source, Tensor, opened

ROOTS = ("layers", "_layer_checkpoint_dependencies")
"""Where Keras 3, and Keras 2.12 to 2.15 in the same layout, keep a functional model's layers."""
NO_LAYERS = ("optimizer", "metrics")
"""Beside the layers, of a model used as a layer even among them."""
WEIGHTS, CONFIG = "model.weights.h5", "config.json"
MAX_WEIGHTS, MAX_CONFIG = 2**30, 2**26  # bytes of an archive's members, unpacked
MAX_DEPTH, MAX_LAYERS = 12, 10_000
KERNEL, NORM = ("kernel", "bias"), ("gamma", "beta", "moving_mean", "moving_variance")


@dataclass(frozen=True)
class Layer:
    """A layer with weights. tensors: by role (kernel, bias, gamma, …), as Keras names them.

    kind: `conv`, `up` (transposed convolution) or `norm`; `kernel`: one of the first two, which
    of them the file does not say.
    """

    name: str
    kind: str
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class KerasFile:
    """What a weight file holds. layers: in the order in which data flows through them."""

    layout: str
    version: str | None
    layers: list[Layer]
    graph: Graph | None


def read_keras(path: Path) -> KerasFile:
    """Read any of the three layouts. Raises CheckpointError naming the file and what is wrong."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such weight file; expected a .h5 or .keras of Keras")
    if zipfile.is_zipfile(path):
        return _read_archive(path)
    with opened(path, path) as file:
        if "layer_names" in file.attrs or "layer_names0" in file.attrs:
            return _read_keras2(path, file, file)
        if "model_weights" in file:
            return _read_keras2(path, file, file["model_weights"])
        return _read_keras3(path, file, None, None)


def _read_archive(path: Path) -> KerasFile:
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(_member(path, archive, CONFIG, MAX_CONFIG))
            weights = _member(path, archive, WEIGHTS, MAX_WEIGHTS)
            metadata = {}
            if "metadata.json" in archive.namelist():
                metadata = json.loads(_member(path, archive, "metadata.json", MAX_CONFIG))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: damaged .keras archive ({error}); copy the file again"
        ) from error
    with opened(path, io.BytesIO(weights)) as file:
        return _read_keras3(path, file, Graph.read(path, config), metadata.get("keras_version"))


def _member(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """A member's bytes, read into memory and no further than `limit`, whatever its header says."""
    if archive.namelist().count(name) != 1:
        found = ", ".join(archive.namelist()[:8]) or "nothing"
        raise CheckpointError(
            f"{path}: a zip archive, but not of Keras: found {found}; expected one {name} at its "
            "top, as `model.save('….keras')` writes it"
        )
    with archive.open(name) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise CheckpointError(
            f"{path}: {name} unpacks to more than {limit:,} bytes; it is no model of this family"
        )
    return content


def _read_keras2(path: Path, file: Any, root: Any) -> KerasFile:
    """`layer_names` and, of each layer, `weight_names`; the latter are paths in its group."""
    config = file.attrs.get("model_config")
    graph = Graph.read(path, json.loads(_text(config))) if config is not None else None
    found: dict[str, dict[str, Tensor]] = {}
    source = Source(path, root)
    for layer in _listed(root, "layer_names"):
        group = root[layer]
        for weight in _listed(group, "weight_names"):
            # A model used as a layer has the weights of many; their own names tell them apart.
            *parents, last = weight.split("/")
            owner = parents[-1] if parents else layer
            tensor = source.tensor(f"{layer}/{weight}")
            found.setdefault(owner, {})[last.split(":")[0]] = tensor
    layers = [
        Layer(name, _kind(graph.class_of(name) if graph else "", name, tensors), tensors)
        for name, tensors in found.items()
        if not _random_state(tensors)
    ]
    if graph is not None:
        layers.sort(key=lambda layer: graph.rank(layer.name))  # stable where the graph is silent
    layout = "Keras 2 weights" if graph is None else "Keras 2 model"
    version = root.attrs.get("keras_version", file.attrs.get("keras_version"))
    return KerasFile(layout, None if version is None else _text(version), layers, graph)


def _listed(group: Any, name: str) -> list[str]:
    """A list attribute; those above 64 KiB are cut into `name0`, `name1`, …"""
    if name in group.attrs:
        return [_text(value) for value in group.attrs[name]]
    found: list[str] = []
    while f"{name}{len(found)}" in group.attrs:
        found.append(f"{name}{len(found)}")
    return [_text(value) for part in found for value in group.attrs[part]]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _read_keras3(path: Path, file: Any, graph: Graph | None, version: str | None) -> KerasFile:
    """Layers as `layers/conv2d_3/vars/0`: numbered within their class, in the model's order."""
    root = next((name for name in ROOTS if name in file), None)
    if root is None:
        found = ", ".join(list(file)[:8]) or "nothing"
        raise CheckpointError(
            f"{path}: an HDF5 file, but not of Keras weights: found {found}; expected the "
            "attribute layer_names, or a group model_weights or layers"
        )
    layers = []
    for name, values in _leaves(path, file, root):
        roles = KERNEL if values[0].values.ndim == 4 else NORM
        tensors = dict(zip(roles, values, strict=False))
        extra = {f"variable {n}": value for n, value in enumerate(values) if n >= len(roles)}
        layer = Layer(name, _kind("", name, tensors), tensors | extra)
        if not _random_state(tensors):
            layers.append(layer)
    layers.sort(key=lambda layer: _natural(layer.name))
    layers = _unambiguous(path, layers) if graph is None else _by_graph(layers, graph)
    return KerasFile(
        "Keras 3 weights" if graph is None else ".keras archive", version, layers, graph
    )


def _leaves(path: Path, file: Any, root: str) -> Iterator[tuple[str, list[Tensor]]]:
    """(group, its numbered variables) of every layer below `root` that has any."""
    import h5py

    source = Source(path, file)
    waiting, count = [(root, 0)], 0
    while waiting:
        name, depth = waiting.pop()
        group = file[name]
        count += 1
        if depth > MAX_DEPTH or count > MAX_LAYERS:
            raise CheckpointError(f"{path}: {name}: too many nested groups for a model")
        for child in group:
            link = group.get(child, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise CheckpointError(f"{path}: {name}/{child} is a link to elsewhere; refused")
            if child in NO_LAYERS or not isinstance(group[child], h5py.Group):
                continue
            if child != "vars":
                waiting.append((f"{name}/{child}", depth + 1))
            elif len(group[child]):
                numbers = sorted(group[child], key=_natural)
                yield name, [source.tensor(f"{name}/vars/{n}") for n in numbers]


def _kind(class_name: str, name: str, tensors: dict[str, Tensor]) -> str:
    """The kind of a layer from its class, or from the name that Keras gave it by its class."""
    kernel = tensors.get("kernel")
    if kernel is None or kernel.values.ndim != 4:
        return "norm" if "gamma" in tensors or "beta" in tensors else "other"
    stem = re.sub(r"_\d+$", "", name.rsplit("/", 1)[-1])
    known = {"Conv2D": "conv", "Conv2DTranspose": "up", "conv2d": "conv", "conv2d_transpose": "up"}
    return known.get(class_name) or known.get(stem) or "kernel"


def _random_state(tensors: dict[str, Tensor]) -> bool:
    """Whether this is the state of a dropout's random numbers: integers only."""
    return all(tensor.values.dtype.kind in "iu" for tensor in tensors.values())


def _natural(name: str) -> list[tuple[str, int]]:
    """Sorts conv2d, conv2d_2, conv2d_10 in this order."""
    found = (re.fullmatch(r"(.*?)_?(\d*)", part) for part in name.split("/"))
    return [(match[1], int(match[2] or 0)) if match else ("", 0) for match in found]


def _unambiguous(path: Path, layers: list[Layer]) -> list[Layer]:
    """The layers, if numbers alone give the order of each kind."""
    first: dict[str, Layer] = {}
    for layer in layers:
        other = first.setdefault(layer.kind, layer)
        stems = [re.sub(r"_\d+$", "", each.name) for each in (layer, other)]
        if layer.kind == "kernel" or stems[0] != stems[1]:
            raise CheckpointError(
                f"{path}: this file does not tell when {layer.name} is used; save the whole model "
                "(`model.save('….keras')`), which has the order of its layers, and import that"
            )
    return layers


def _by_graph(layers: list[Layer], graph: Graph) -> list[Layer]:
    """Layers in the graph's order: the n-th group of a class is the n-th layer of that class."""
    tops: dict[str, list[str]] = {}
    for layer in layers:
        top = layer.name.split("/")[1]
        group = tops.setdefault(re.sub(r"_\d+$", "", top), [])
        if top not in group:
            group.append(top)
    owner = {
        top: name
        for stem, group in tops.items()
        for top, name in zip(group, graph.with_weights(stem, len(group)), strict=True)
    }
    named = [(owner[layer.name.split("/")[1]], layer) for layer in layers]
    ranked = sorted(named, key=lambda pair: graph.rank(pair[0]))
    return [
        replace(layer, kind=_kind(graph.class_of(name), layer.name, layer.tensors))
        for name, layer in ranked
    ]
