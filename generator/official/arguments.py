"""What the constructor arguments of an official network say, checked against the network itself.

Only arguments that were passed are in the file; the attributes in it tell whether the defaults of
StyleGAN2-ADA, which the missing ones then have, are those it was made with. Shapes are checked
where the network is built.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from typing import Any

from vesselforge.generator.official.records import Node
from vesselforge.generator.official.safe_pickle import Refused

Modules = Mapping[str, Node]

REQUIRED = {
    "Generator": ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"),
    "Discriminator": ("c_dim", "img_resolution", "img_channels"),
}
"""Arguments without a default, in the order of the constructor."""
GENERATOR_OWN = {*REQUIRED["Generator"], "mapping_kwargs", "synthesis_kwargs"}

SCALARS = (str, int, float, bool, type(None))
MAX_VALUES = 10_000  # and
MAX_DEPTH = 16  # against lists that contain each other, which would unfold without end


def plain(value: Any) -> Any:
    """Return nested dicts, lists and scalars as plain JSON values; tuples become lists.

    Raises Refused for anything else, for numbers that JSON lacks and for endless nesting.
    """
    counter = itertools.count()

    def convert(item: Any, depth: int) -> Any:
        if next(counter) > MAX_VALUES or depth > MAX_DEPTH:
            raise Refused("its arguments are nested without end")
        if type(item) is dict and all(type(key) is str for key in item):
            return {key: convert(inner, depth + 1) for key, inner in item.items()}
        if type(item) in (list, tuple):
            return [convert(inner, depth + 1) for inner in item]
        if type(item) not in SCALARS or (type(item) is float and not math.isfinite(item)):
            raise Refused(f"its arguments hold a value of type {type(item).__name__}")
        return item

    return convert(value, 0)


def arguments(node: Node) -> dict[str, Any]:
    """Return what the constructor was called with, by name; Refused when a required one lacks."""
    by_position, by_name = node.state.get("_init_args"), node.state.get("_init_kwargs")
    names = REQUIRED[node.class_name]
    if type(by_position) is not tuple or type(by_name) is not dict:
        raise Refused(f"its {node.class_name} does not record its constructor arguments")
    if len(by_position) > len(names) or set(names[: len(by_position)]) & set(by_name):
        raise Refused(f"its {node.class_name} has arguments that fit no official constructor")
    kwargs: dict[str, Any] = plain({**dict(zip(names, by_position, strict=False)), **by_name})
    for name in names:
        if type(kwargs.get(name)) is not int:
            raise Refused(f"its {node.class_name} lacks the integer argument {name}")
    for name, value in kwargs.items():
        if name.endswith("_kwargs") and type(value) is not dict:
            raise Refused(f"the argument {name} of its {node.class_name} is not a dict")
    return kwargs


def check(kwargs: Mapping[str, Any], modules: Modules) -> None:
    """Refuse a network of StyleGAN3's trainer, and one whose attributes contradict its arguments
    where no shape would tell."""
    class_name = modules[""].class_name
    generator = class_name == "Generator"
    if generator and (flat := sorted(kwargs.keys() - GENERATOR_OWN)):
        raise Refused(
            f"its Generator has the argument {flat[0]!r}, as StyleGAN3's trainer writes it",
            "networks of that trainer are not supported: pass one of StyleGAN2-ADA's",
        )
    options = kwargs.get("synthesis_kwargs", {}) if generator else kwargs
    layer = re.compile(("synthesis[.]" if generator else "") + r"b\d+\.(conv[01]?|torgb)")
    claims = [("", name, kwargs[name]) for name in REQUIRED[class_name]]
    claims += [(p, "conv_clamp", options.get("conv_clamp")) for p in modules if layer.fullmatch(p)]
    if not generator:
        group = kwargs.get("epilogue_kwargs", {}).get("mbstd_group_size", 4)
        claims.append(("b4.mbstd", "group_size", group))
    for path, name, wanted in claims:
        value = modules[path].state.get(name, wanted) if path in modules else wanted
        if type(value) in SCALARS and value != wanted:
            where = ".".join(filter(None, (class_name, path, name)))
            raise Refused(f"{where} is {value!r} in it, but its arguments say {wanted!r}")
