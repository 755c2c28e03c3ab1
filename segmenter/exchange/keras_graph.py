"""The graph that a Keras model's `config` describes: in which order its layers are used, and where
its arithmetic differs from ours although every shape agrees.

Keras lists a functional model's layers by depth, the longest way to the output. Here the order is
derived from the inbound nodes themselves: a model may have been put together in any order, and the
numbers in its layers' names are those of the whole Python session.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from vesselforge.configs.errors import CheckpointError

EXPECTED: dict[str, dict[str, Any]] = {
    "Conv2D": {"strides": 1, "dilation_rate": 1, "padding": "same", "groups": 1},
    "Conv2DTranspose": {"strides": 2, "dilation_rate": 1, "padding": "same"},
    "BatchNormalization": {"epsilon": 1e-3, "axis": 3},
    "GroupNormalization": {"epsilon": 1e-3, "groups": 8, "axis": 3},
}
"""What the layers of this family compute with, by Keras's class; all in channels-last layout."""


@dataclass(frozen=True)
class Node:
    """A layer of the graph. inputs: names of the layers it reads, in the order of its arguments."""

    name: str
    class_name: str
    config: dict[str, Any]
    inputs: list[str]


class Graph:
    """The layers of a functional model by name, and their order."""

    def __init__(self, path: Path, nodes: list[Node]) -> None:
        self.path = path
        self.nodes = {node.name: node for node in nodes}
        try:
            order = TopologicalSorter({n.name: n.inputs for n in nodes}).static_order()
            self._ranks = {name: rank for rank, name in enumerate(order)}
        except CycleError as error:
            raise CheckpointError(f"{path}: config: its layers form a cycle") from error

    @classmethod
    def read(cls, path: Path, config: Any) -> Graph:
        """The graph of a `config.json` or a `model_config`. Raises CheckpointError."""
        try:
            return cls(path, list(_nodes(config["config"]["layers"])))
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise CheckpointError(
                f"{path}: its config describes no functional model (found {_what(config)}); of "
                "other models save the weights alone and import those"
            ) from error

    def class_of(self, name: str) -> str:
        """Keras's class of a layer, "" for a name that the graph does not have."""
        return self.nodes[name].class_name if name in self.nodes else ""

    def rank(self, name: str) -> int:
        """The place of a layer in the order of use; layers of a model within: all the same."""
        return self._ranks.get(name, -1)

    def with_weights(self, stem: str, count: int) -> list[str]:
        """The `count` layers whose class is called `stem` in weight files, in the model's order."""
        names = [node.name for node in self.nodes.values() if snake_case(node.class_name) == stem]
        if len(names) != count:
            raise CheckpointError(
                f"{self.path}: found weights of {count} layers called {stem}, but {len(names)} "
                "such layers in its config; expected the same number; copy the file again"
            )
        return names

    def check_arithmetic(self) -> None:
        """Raises CheckpointError at the first layer that computes otherwise than ours."""
        for node in self.nodes.values():
            for inner in _all(node):
                self._check(inner)

    def _check(self, node: Node) -> None:
        for setting, expected in EXPECTED.get(node.class_name, {}).items():
            found = node.config.get(setting, expected)
            if setting == "padding" and _agree(node.config.get("kernel_size"), 1):
                continue  # there is nothing to pad
            if not _agree(found, expected):
                raise CheckpointError(
                    f"{self.path}: layer {node.name} ({node.class_name}) has {setting} {found}, "
                    f"our networks compute with {expected}; it is another network"
                )
        if node.config.get("data_format", "channels_last") != "channels_last":
            raise CheckpointError(f"{self.path}: layer {node.name}: expected channels_last")
        if node.class_name == "Concatenate":
            classes = [self.class_of(name) for name in node.inputs]
            if classes[1:] == ["Conv2DTranspose"]:
                raise CheckpointError(
                    f"{self.path}: {node.name} joins [skip, upsampled]; this family joins "
                    "[upsampled, skip], so the weights would be read in the wrong order"
                )
            if classes == ["Max", "Mean"]:
                raise CheckpointError(
                    f"{self.path}: {node.name} joins [max, mean]; this family's attention joins "
                    "[mean, max], so the weights would be read in the wrong order"
                )


def snake_case(class_name: str) -> str:
    """The name that Keras gives a layer of this class: Conv2DTranspose → conv2d_transpose."""
    name = re.sub(r"\W+", "", class_name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _nodes(layers: list[Any]) -> Iterator[Node]:
    for layer in layers:
        config = layer["config"]
        class_name = layer["class_name"].split(">")[-1]  # Addons>GroupNormalization
        name = layer.get("name", config["name"])
        yield Node(name, class_name, config, list(_sources(layer["inbound_nodes"])))


def _sources(value: Any) -> Iterator[str]:
    """Names of the layers in inbound nodes: Keras 2 writes ["name", 0, 0, {}], Keras 3 a tree in
    which tensors have a `keras_history`."""
    if isinstance(value, dict):
        history = value.get("keras_history")
        if history is not None:
            yield history[0]
            return
        for part in value.values():
            yield from _sources(part)
    elif isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            yield value[0]
            yield from _sources(value[3:])  # keyword arguments may be tensors, too
            return
        for part in value:
            yield from _sources(part)


def _all(node: Node) -> Iterator[Node]:
    """The node; of a model used as a layer, those within."""
    yield node
    for inner in _nodes(node.config["layers"]) if "layers" in node.config else ():
        yield from _all(inner)


def _agree(found: Any, expected: Any) -> bool:
    """Whether a setting is as expected; lists are one number for each direction."""
    values = found if isinstance(found, list | tuple) else [found]
    if isinstance(expected, str):
        return values == [expected]
    if not all(isinstance(value, int | float) for value in values):
        return False
    return all(abs(value - expected) < 1e-9 or (expected, value) == (3, -1) for value in values)


def _what(config: Any) -> str:
    return str(config.get("class_name", "no class")) if isinstance(config, dict) else "no object"
