"""Where a training starts: from random weights, or from trained ones, fitted or not.

A start is not a resume: the same command resumes an interrupted training by itself.

Fitted to another resolution, other image channels or labels: tensors of the same name and shape are
taken over, as the published code does; those that touch the image are mapped to its new channels,
so that the first pictures and logits are the old ones, seen through the change; all others start
anew. A table says what became of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vesselforge.configs.errors import CheckpointError, ConfigError
from vesselforge.configs.settings import GeneratorSettings
from vesselforge.engine.artifacts import Artifact
from vesselforge.generator.checkpoint import Weights, load_official
from vesselforge.generator.networks import Discriminator, Generator
from vesselforge.generator.networks.layers import block_resolutions, channels_at
from vesselforge.generator.trained import CHANNELS, Kwargs, network_kwargs
from vesselforge.generator.training.step_counts import seed_of
from vesselforge.generator.transfer.start_weights import Source, from_snapshot, kind_of, read_folder

Message = Callable[[str], None]
N = TypeVar("N", bound=nn.Module)
LOADED, MAPPED, NEW, UNUSED = "loaded", "mapped to other channels", "new", "unused"
NAMED = 4
"""Tensors named in a line of the table; the others are counted."""
ADAPTABLE = {"resolution", "channels", "labels"}
"""Settings in which the networks to start from may differ, given `adapt: true`."""


@dataclass
class Start:
    """Networks to train, how they were built, and where their weights come from.

    average: only of trained weights.
    """

    generator: Generator
    discriminator: Discriminator
    average: Generator | None
    generator_kwargs: Kwargs
    discriminator_kwargs: Kwargs
    provenance: dict[str, Any]

    def facts(self) -> dict[str, Any]:
        """Return all but the weights, as JSON: for checkpoints, from which a training goes on
        without reading again what it started from."""
        return {
            "generator": self.generator_kwargs,
            "discriminator": self.discriminator_kwargs,
            "continued": self.average is not None,
            "provenance": self.provenance,
        }

    @staticmethod
    def rebuilt(facts: dict[str, Any]) -> Start:
        """Return networks as `facts` described them, with any weights."""
        kwargs_g, kwargs_d = facts["generator"], facts["discriminator"]
        average = Generator(**kwargs_g) if facts["continued"] else None
        networks = Generator(**kwargs_g), Discriminator(**kwargs_d), average
        return Start(*networks, kwargs_g, kwargs_d, facts["provenance"])


def begin(
    settings: GeneratorSettings,
    message: Message,
    earlier: Artifact | None = None,
    c_dim: int = 0,
) -> Start:
    """Return the networks that a training begins with, on the CPU.

    earlier: an artifact to go on from, before `start_from`; c_dim: length of the images' labels.
    `message` gets a table of what became of each tensor. Raises CheckpointError, naming tensors
    and settings, when the networks do not fit and may not, or cannot, be adapted; ConfigError when
    random weights would be frozen.
    """
    if earlier is not None:
        source = read_folder(earlier.path, earlier.digest)
    elif settings.start_from is None:
        return _fresh(settings, c_dim)
    elif settings.start_from.is_dir():
        source = read_folder(settings.start_from)
    else:
        source = from_snapshot(load_official(settings.start_from), settings.start_from)
    return _fitted(settings, source, message, c_dim)


def _fresh(settings: GeneratorSettings, c_dim: int) -> Start:
    """Random weights, the same for the same seed."""
    if settings.freeze_d:
        raise ConfigError(
            f"generator.freeze_d: {settings.freeze_d} would keep random weights as they are; "
            "set generator.start_from, or freeze_d: 0"
        )
    kwargs_g, kwargs_d = network_kwargs(settings, c_dim)
    torch.manual_seed(seed_of(settings.seed, 0))
    generator, discriminator = Generator(**kwargs_g), Discriminator(**kwargs_d)
    provenance = {"start": "random weights"}
    return Start(generator, discriminator, None, kwargs_g, kwargs_d, provenance)


def _fitted(settings: GeneratorSettings, source: Source, message: Message, c_dim: int) -> Start:
    """Fit the networks of a source to the settings; see `begin`."""
    aims = _aims(source, *network_kwargs(settings, c_dim))
    _refuse_misfits(settings, source, aims)
    built: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    for note in source.notes:
        message(f"{source.where.name}: {note}")
    for slot, aim in aims.items():
        weights = source.networks.get(slot, Weights(aim, {}))
        channels = weights.kwargs["img_channels"]
        seed = seed_of(settings.seed, 0, int(slot == "D"))  # of G and G_ema the same
        built[slot], names = fit(kind_of(slot), weights.tensors, channels, aim, seed)
        rows += rows_of(slot, names)
    for row in rows:
        message(in_words(row))
    provenance = {**source.provenance, "tensors": rows}
    return Start(built["G"], built["D"], built["G_ema"], aims["G"], aims["D"], provenance)


def _aims(source: Source, kwargs_g: Kwargs, kwargs_d: Kwargs) -> dict[str, Kwargs]:
    """Return the arguments to build with, by slot: ours, and the source's where we have no setting
    for it (architecture, clamp unless set, slopes, filters): part of the function it computes."""
    aims = {}
    for slot, ours in (("G", kwargs_g), ("D", kwargs_d), ("G_ema", kwargs_g)):
        weights = source.networks.get(slot)
        aims[slot] = ours if weights is None else _merge(weights.kwargs, ours)
    if "D" not in source.networks:
        clamp = aims["G"]["synthesis_kwargs"]["conv_clamp"]
        aims["D"] = {**aims["D"], "conv_clamp": clamp}
    return aims


def _merge(theirs: Kwargs, ours: Kwargs) -> Kwargs:
    merged = {**theirs, **ours}
    for name, value in ours.items():
        if isinstance(value, dict):
            merged[name] = _merge(theirs.get(name) or {}, value)
        elif name == "conv_clamp" and value is None:
            merged[name] = theirs.get(name)
    return merged


def _refuse_misfits(settings: GeneratorSettings, source: Source, aims: dict[str, Kwargs]) -> None:
    """Raise CheckpointError for differences that are not allowed, with the settings that fit."""
    advice: dict[str, str] = {}
    for slot, weights in source.networks.items():
        shared = block_resolutions(min(kw["img_resolution"] for kw in (weights.kwargs, aims[slot])))
        theirs, ours = (_settings_of(slot, kw, shared) for kw in (weights.kwargs, aims[slot]))
        advice |= {name: said for name, (value, said) in theirs.items() if value != ours[name][0]}
    hopeless = advice.keys() - ADAPTABLE
    if not advice or (settings.adapt and not hopeless):
        return
    fixes = ", ".join(f"generator.{name}: {value}" for name, value in advice.items())
    way_out = "" if hopeless else "; or set generator.adapt: true, and it is fitted to the settings"
    raise CheckpointError(
        f"{source.where}: its architecture is not that of the settings: set {fixes}{way_out}"
    )


def _settings_of(slot: str, kwargs: Kwargs, shared: list[int]) -> dict[str, tuple[Any, str]]:
    """Return the settings behind a network: what counts of each, and how it is said. Of widths,
    those at the resolutions `shared` count."""
    options = kwargs if slot == "D" else kwargs.get("synthesis_kwargs") or {}
    side, count, c_dim = (kwargs[name] for name in ("img_resolution", "img_channels", "c_dim"))
    names = {number: name for name, number in CHANNELS.items()}
    clamp = options.get("conv_clamp")
    base, most = options.get("channel_base", 32768), options.get("channel_max", 512)
    widths = [channels_at(res, base, most) for res in shared]
    found: dict[str, tuple[Any, str]] = {
        "resolution": (side, str(side)),
        "channels": (count, names.get(count, f"(none has {count} channels)")),
        "labels": (c_dim, f"true (labels of length {c_dim})" if c_dim else "false"),
        "conv_clamp": (clamp, "0" if clamp is None else f"{clamp:g}"),
        "channel_base": (widths, f"{base}, generator.channel_max: {most}"),
    }
    if slot != "D":
        depth = (kwargs.get("mapping_kwargs") or {}).get("num_layers", 8)
        latent = kwargs["z_dim"], kwargs["w_dim"]
        found |= {"mapping_layers": (depth, str(depth)), "latent": (latent, str(latent[0]))}
    return found


def fit(
    kind: type[N], theirs: Mapping[str, Tensor], channels: int, aim: Kwargs, seed: int
) -> tuple[N, dict[str, list[str]]]:
    """Return a network with the arguments `aim`, and the names of its tensors by what they are.

    theirs: of a trained network whose images have so many channels. The same seed gives the same
    new tensors, so that G and its average get equal ones.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = kind(**aim)
    names: dict[str, list[str]] = {LOADED: [], MAPPED: [], NEW: []}
    for name, value in network.state_dict().items():
        given = theirs.get(name)
        mapped = None if given is None else in_channels(name, given, channels, aim["img_channels"])
        if mapped is not None and mapped.shape == value.shape:
            value.copy_(mapped)
            names[LOADED if mapped is given else MAPPED].append(name)
        else:
            if name.endswith("torgb.weight"):
                value.zero_()  # a new resolution adds nothing to the image at first
            names[NEW].append(name)
    names[UNUSED] = [name for name in theirs if name not in {*names[LOADED], *names[MAPPED]}]
    return network, names


def rows_of(network: str, names: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """Return the table's rows of one network, as JSON; `names` by what became of them. Every name
    is listed, save of those that were simply loaded."""
    return [
        {"network": network, "what": what, "count": len(some)}
        | ({} if what == LOADED else {"names": some})
        for what, some in names.items()
        if some
    ]


def in_words(row: Mapping[str, Any]) -> str:
    """Return a row such as `D: 4 tensors new: b128.fromrgb.weight, …`."""
    line, names = f"{row['network']}: {row['count']} tensors {row['what']}", row.get("names", [])
    more = ", …" if len(names) > NAMED else ""
    return f"{line}: {', '.join(names[:NAMED])}{more}" if names else line


def channel_matrix(old: int, new: int) -> Tensor:
    """Return `[new, old]`: how an image of `new` channels is made from one of `old`.

    The first three channels (the only one of grey images) are colours, a further one is the mask:
    grey is the mean of colours, colours are copies of grey, a new mask is 0.
    """
    matrix = torch.zeros(new, old)
    colours = [3 if count >= 3 else 1 for count in (new, old)]
    same = colours[0] == colours[1]
    matrix[: colours[0], : colours[1]] = torch.eye(colours[0]) if same else 1 / colours[1]
    for i in range(min(new - colours[0], old - colours[1])):
        matrix[colours[0] + i, colours[1] + i] = 1
    return matrix


def in_channels(name: str, value: Tensor, old: int, new: int) -> Tensor:
    """Return a tensor for images of other channels; itself where it does not touch the image.

    Generator: its image, mapped by `channel_matrix`. Discriminator: applied to the mapped image
    (so that grey → RGB shares each weight out, and RGB → grey sums them).
    """
    if old == new:
        return value
    if name.endswith(("torgb.weight", "torgb.bias")):
        return torch.tensordot(channel_matrix(old, new), value, dims=1)
    if name.endswith("fromrgb.weight"):
        # Stored weights are scaled by 1/√channels when used.
        back = channel_matrix(new, old) * math.sqrt(new / old)
        return torch.einsum("oihw,in->onhw", value, back)
    return value
