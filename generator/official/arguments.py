"""What the constructor arguments of an official network say, checked against the network itself.

Two trainers write StyleGAN2 snapshots: StyleGAN2-ADA's, and StyleGAN3's with other defaults and a
flat generator signature. Only arguments that were passed are in the file, so the trainer decides
what the missing ones mean; the attributes and shapes in the file tell whether that was right.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NoReturn

from vesselforge.generator.official.records import Node, TensorView
from vesselforge.generator.official.safe_pickle import Refused

Dialect = Literal["ada", "stylegan3"]
Modules = Mapping[str, Node]
Claim = tuple[str, str, Any]  # module path, attribute, the value that the arguments imply

DEFAULTS: dict[Dialect, dict[str, Any]] = {
    "ada": {"num_fp16_res": 0, "conv_clamp": None, "w_avg_beta": 0.995},
    "stylegan3": {"num_fp16_res": 4, "conv_clamp": 256, "w_avg_beta": 0.998},
}
"""Where the two trainers differ; the other defaults they share."""
CHANNELS = {"channel_base": 32768, "channel_max": 512}

REQUIRED = {
    "Generator": ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"),
    "Discriminator": ("c_dim", "img_resolution", "img_channels"),
    "AugmentPipe": (),
}
"""Arguments without a default, in the order of the constructor."""
GENERATOR_OWN = {*REQUIRED["Generator"], "mapping_kwargs", "synthesis_kwargs"}

SCALARS = (str, int, float, bool, type(None))
MAX_VALUES = 10_000  # and
MAX_DEPTH = 16  # against lists that contain each other, which would unfold without end
ABSENT = object()


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


def dialect_of(networks: Mapping[str, Modules]) -> Dialect:
    """Tell which trainer made a snapshot, from its generator or else its discriminator."""
    modules = networks.get("G_ema") or networks.get("G")
    if modules is None:
        modules = networks["D"]
        clamp = None if "conv_clamp" in arguments(modules[""]) else _attribute(
            modules, "b4.conv", "conv_clamp"
        )  # fmt: skip
        return "stylegan3" if clamp == DEFAULTS["stylegan3"]["conv_clamp"] else "ada"
    kwargs = arguments(modules[""])
    flat = sorted(kwargs.keys() - GENERATOR_OWN)
    if "synthesis_kwargs" in kwargs:
        if flat:
            raise Refused(f"its Generator has synthesis_kwargs and also {flat[0]!r} beside them")
        return "ada"
    beta = None if "w_avg_beta" in kwargs.get("mapping_kwargs", {}) else _attribute(
        modules, "mapping", "w_avg_beta"
    )  # fmt: skip
    return "stylegan3" if flat or beta == DEFAULTS["stylegan3"]["w_avg_beta"] else "ada"


def build_kwargs(class_name: str, kwargs: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Spell out the defaults of the dialect, and nest a flat generator signature."""
    base: dict[str, Any] = {**CHANNELS, **DEFAULTS[dialect]}
    beta = base.pop("w_avg_beta")
    if class_name == "AugmentPipe":
        return dict(kwargs)
    if class_name == "Discriminator":
        return {**base, **kwargs}
    flat = {name: value for name, value in kwargs.items() if name not in GENERATOR_OWN}
    flat.pop("fused_modconv_default", None)  # chooses between two ways to the same numbers
    return {
        **{name: kwargs[name] for name in REQUIRED[class_name]},
        "mapping_kwargs": {"w_avg_beta": beta, **kwargs.get("mapping_kwargs", {})},
        "synthesis_kwargs": {**base, **flat, **kwargs.get("synthesis_kwargs", {})},
    }


def check(
    class_name: str, kwargs: dict[str, Any], modules: Modules, views: Mapping[str, TensorView]
) -> None:
    """Refuse a network whose attributes or shapes contradict its arguments (`build_kwargs`)."""
    if class_name == "AugmentPipe":
        return
    generator = class_name == "Generator"
    prefix = "synthesis." if generator else ""
    options = kwargs["synthesis_kwargs"] if generator else kwargs
    claims = _generator_claims(kwargs) if generator else _discriminator_claims(kwargs)
    for path, name, wanted in itertools.chain(claims, _block_claims(options, modules, prefix)):
        value = _attribute(modules, path, name)
        if value is not ABSENT and value != wanted:
            _contradiction(".".join(filter(None, (class_name, path, name))), value, wanted)
    depth = sum(bool(re.fullmatch(r"mapping\.fc\d+", path)) for path in modules)
    wanted = kwargs.get("mapping_kwargs", {}).get("num_layers", 8)
    if "mapping" in modules and depth != wanted:
        _contradiction(f"the number of mapping layers of {class_name}", depth, wanted)
    blocks = {int(m[1]) for path in modules if (m := _block(prefix).fullmatch(path))}
    if not blocks or blocks != {2**i for i in range(2, max(blocks).bit_length())}:
        raise Refused(f"its {class_name} has the blocks {sorted(blocks)}, unlike any StyleGAN2")
    if max(blocks) != kwargs["img_resolution"]:
        _contradiction(f"the largest block of {class_name}", max(blocks), kwargs["img_resolution"])
    for res in blocks:
        layer = f"{prefix}b{res}." + ("conv1" if generator else "conv0" if res > 4 else "conv")
        bias = views.get(f"{layer}.bias")
        width = max(1, min(options["channel_base"] // res, options["channel_max"]))
        if bias is None or bias.size != (width,):
            _contradiction(f"{class_name}.{layer}.bias.shape", bias and [*bias.size], [width])


def _contradiction(where: str, found: Any, wanted: Any) -> NoReturn:
    raise Refused(f"{where} is {found!r} in it, but its arguments say {wanted!r}")


def _block(prefix: str) -> re.Pattern[str]:
    return re.compile(re.escape(prefix) + r"b(\d{1,6})")


def _attribute(modules: Modules, path: str, name: str) -> Any:
    value = modules[path].state.get(name, ABSENT) if path in modules else ABSENT
    return value if type(value) in SCALARS else ABSENT


def _generator_claims(kwargs: dict[str, Any]) -> Iterator[Claim]:
    for name in REQUIRED["Generator"]:
        for path in ("", "mapping", "synthesis"):
            yield path, name, kwargs[name]
    yield from _mapping_claims(kwargs["mapping_kwargs"])


def _mapping_claims(options: dict[str, Any]) -> Iterator[Claim]:
    yield "mapping", "num_layers", options.get("num_layers", 8)
    if "w_avg_beta" in options:
        yield "mapping", "w_avg_beta", options["w_avg_beta"]


def _discriminator_claims(kwargs: dict[str, Any]) -> Iterator[Claim]:
    for name in REQUIRED["Discriminator"]:
        yield "", name, kwargs[name]
    epilogue = kwargs.get("epilogue_kwargs", {})
    yield "b4.mbstd", "group_size", epilogue.get("mbstd_group_size", 4)
    yield "b4.mbstd", "num_channels", epilogue.get("mbstd_num_channels", 1)
    yield from _mapping_claims(kwargs.get("mapping_kwargs", {}))


def _block_claims(options: dict[str, Any], modules: Modules, prefix: str) -> Iterator[Claim]:
    style = "skip" if prefix else "resnet"
    for path in modules:
        if match := _block(prefix).fullmatch(path):
            yield path, "resolution", int(match[1])
            yield path, "architecture", options.get("architecture", style)
        elif re.fullmatch(re.escape(prefix) + r"b\d+\.(conv[01]?|torgb)", path):
            yield path, "conv_clamp", options["conv_clamp"]
