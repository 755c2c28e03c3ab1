"""Where a training starts: from random weights, from an earlier training, or an official file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from configs.errors import CheckpointError
from configs.settings import GeneratorSettings
from data.checkpoints import load_strict, load_tensors
from generator.checkpoint import OfficialNetwork, OfficialSnapshot, load_official
from generator.models import AVERAGE, CRITIC, CURRENT, Kwargs, network_kwargs, read_description
from generator.networks import Discriminator, Generator
from generator.trainer import seed_of

LAYER = re.compile(r"mapping\.fc\d+\.weight")


@dataclass
class Start:
    """Networks to train, how they were built, and where their weights come from."""

    generator: Generator
    discriminator: Discriminator
    average: Generator | None
    generator_kwargs: Kwargs
    discriminator_kwargs: Kwargs
    provenance: dict[str, Any]

    @property
    def continued(self) -> bool:
        return self.average is not None

    def to(self, device: torch.device) -> Start:
        """Move the networks."""
        self.generator.to(device)
        self.discriminator.to(device)
        if self.average is not None:
            self.average.to(device)
        return self


def start_fresh(settings: GeneratorSettings) -> Start:
    """Random weights, the same for the same seed."""
    return _build(settings, *network_kwargs(settings))


def _build(settings: GeneratorSettings, kwargs_g: Kwargs, kwargs_d: Kwargs) -> Start:
    torch.manual_seed(seed_of(settings.seed, 0))
    generator, discriminator = Generator(**kwargs_g), Discriminator(**kwargs_d)
    provenance = {"start": "random weights"}
    return Start(generator, discriminator, None, kwargs_g, kwargs_d, provenance)


def start_from_artifact(settings: GeneratorSettings, folder: Path, digest: str) -> Start:
    """G, D and G_ema of an earlier training of the same architecture, else CheckpointError."""
    description = read_description(folder)
    ours_g, ours_d = network_kwargs(settings)
    for name, kwargs in (("generator", ours_g), ("discriminator", ours_d)):
        lines = _differences(kwargs, description[name])
        if lines:
            raise CheckpointError(
                f"{folder}: the settings contradict the earlier training's {name}: "
                f"{'; '.join(lines)}; set them as they were, or train from random weights"
            )
    theirs = {**description["discriminator"], "epilogue_kwargs": ours_d["epilogue_kwargs"]}
    start = _build(settings, description["generator"], theirs)
    start.average = Generator(**start.generator_kwargs)
    parts = ((start.generator, CURRENT), (start.discriminator, CRITIC), (start.average, AVERAGE))
    for network, name in parts:
        load_strict(network, load_tensors(folder / name)[0], folder / name)
    start.provenance = {"start": f"generator.train {digest}", **_origin(description)}
    return start


def _differences(ours: Kwargs, theirs: Kwargs) -> list[str]:
    """Return "argument: value here, value there" where our arguments differ; minibatch-std
    groups may, having no weights."""
    lines = []
    for name, value in ours.items():
        other = theirs.get(name)
        if name == "epilogue_kwargs":
            continue
        if isinstance(value, dict) and isinstance(other, dict):
            lines += _differences(value, other)
        elif value != other:
            lines.append(f"{name} is {value} here and was {other}")
    return lines


def _origin(description: dict[str, Any]) -> dict[str, Any]:
    """Return the licence trail of the weights that an earlier training began with."""
    origin = description.get("provenance", {}).get("origin")
    return {} if origin is None else {"origin": origin}


def start_from_official(
    settings: GeneratorSettings, path: Path, message: Callable[[str], None]
) -> Start:
    """The networks of an official .pkl; CheckpointError when their architecture contradicts the
    settings. `message` receives a table of loaded, missing and resized tensors."""
    snapshot = load_official(path)
    kwargs_g, kwargs_d = network_kwargs(settings)
    _carry_clamp(kwargs_g, kwargs_d, snapshot)
    start = _build(settings, kwargs_g, kwargs_d)
    current = snapshot.G or snapshot.G_ema
    average = snapshot.G_ema or snapshot.G
    if current is None or average is None:
        raise CheckpointError(f"{path}: the file holds no generator")
    contradictions = _contradictions(average.tensors, settings, start.generator)
    if contradictions:
        raise CheckpointError(
            f"{path}: its architecture is not that of the settings: set "
            + ", ".join(f"generator.{line}" for line in contradictions)
        )
    start.average = Generator(**start.generator_kwargs)
    slots: list[tuple[str, nn.Module, OfficialNetwork | None]] = [
        ("G", start.generator, current),
        ("D", start.discriminator, snapshot.D),
        ("G_ema", start.average, average),
    ]
    for name, network, source in slots:
        if source is None:
            message(f"{name}: not in the file, starts from random weights")
        else:
            for line in copy_matching(network, source.tensors):
                message(f"{name}: {line}")
    start.provenance = {
        "start": f"official snapshot, SHA-256 {snapshot.sha256}",
        "origin": snapshot.origin,
    }
    return start


def copy_matching(network: nn.Module, tensors: dict[str, Tensor]) -> list[str]:
    """Copy every tensor whose name and shape match; return lines that say what was not."""
    own = network.state_dict()
    fitting = {k: t for k, t in tensors.items() if k in own and own[k].shape == t.shape}
    network.load_state_dict(fitting, strict=False)
    lines = [f"{len(fitting)} of {len(own)} tensors loaded"]
    for name, tensor in own.items():
        if name not in tensors:
            lines.append(f"missing in the file, starts from random weights: {name}")
        elif name not in fitting:
            shapes = f"{list(tensors[name].shape)} there, {list(tensor.shape)} here"
            lines.append(f"resized, starts from random weights: {name} ({shapes})")
    lines += [f"not used: {name}" for name in tensors if name not in own]
    return lines


def _carry_clamp(kwargs_g: Kwargs, kwargs_d: Kwargs, snapshot: OfficialSnapshot) -> None:
    """Keep the clamp of the file's networks: it is part of the function that they compute."""
    for network, kwargs in ((snapshot.G_ema, kwargs_g["synthesis_kwargs"]), (snapshot.D, kwargs_d)):
        if network is not None:
            theirs = network.build_kwargs()
            clamp = theirs.get("synthesis_kwargs", theirs).get("conv_clamp")
            if clamp is not None:
                kwargs["conv_clamp"] = clamp


def _contradictions(
    tensors: dict[str, Tensor], settings: GeneratorSettings, network: Generator
) -> list[str]:
    """Return the settings that would fit the file, as "name: value"; read off its shapes, which
    cannot lie as arguments can."""
    found = []
    widths = {
        int(match[1]): tensor.shape[0]
        for name, tensor in tensors.items()
        if (match := re.fullmatch(r"synthesis\.b(\d+)\.conv1\.bias", name))
    }
    if max(widths, default=0) != settings.resolution:
        found.append(f"resolution: {max(widths, default=0)}")
    layers = sum(bool(LAYER.fullmatch(name)) for name in tensors)
    if layers != settings.mapping_layers:
        found.append(f"mapping_layers: {layers}")
    latent = tensors["mapping.w_avg"].shape[0] if "mapping.w_avg" in tensors else 0
    if latent != settings.latent:
        found.append(f"latent: {latent}")
    own = {
        r: getattr(network.synthesis, f"b{r}").conv1.bias.shape[0]
        for r in network.synthesis.block_resolutions
    }
    if any(widths.get(r, width) != width for r, width in own.items()):
        finest = max(widths)
        found.append(f"channel_base: {widths[finest] * finest}")
        found.append(f"channel_max: {max(widths.values())}")
    return found
