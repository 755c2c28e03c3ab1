"""A generator's folder in float16 and without what only its own training needs: to hand out.

It is a folder like any other: networks are float32 once they are loaded. Starting a training from
it, G begins as a copy of G_ema.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vesselforge.configs.errors import CheckpointError
from vesselforge.engine.checkpoints import save_tensors
from vesselforge.engine.files import write_json
from vesselforge.generator.sampling.sampler import Sampler
from vesselforge.generator.trained import (
    AVERAGE,
    DESCRIPTION,
    DISCRIMINATOR,
    FOV,
    load_discriminator,
    load_generator,
)

IMAGES = 64
"""Drawn from both to compare them, of seeds 0, 1, …"""
LEVEL = 2 / 255
"""One grey level of 255 in the units of a network, [-1, 1]."""
NEARLY_ALL = 0.99
"""Of pixels, which have to differ by less than a level."""


def compact(folder: Path, out: Path, origin: str) -> dict[str, Any]:
    """Write generator.json, G_ema and D of a generator's folder to `out`, weights in float16.

    origin: where the weights come from, noted for whatever is trained from them. Returns what was
    measured: `largest_weight`; over `images` drawn with psi 1, the greatest difference in grey
    levels of 255 (`largest_difference`) and the share of pixels and channels that differ by less
    than one (`within_a_level`). Raises CheckpointError when a network is missing, when float16
    cannot hold a weight, and when more than 1 % of the pixels differ by a level.
    """
    whole, described = load_generator(folder)
    # The snapshots that it lists stay where they are.
    facts = {name: value for name, value in described.items() if name != "snapshots"}
    facts["provenance"] = (facts.get("provenance") or {}) | {"origin": origin}
    write_json(out / DESCRIPTION, facts)
    if described.get("fov"):
        shutil.copyfile(folder / FOV, out / FOV)
    networks = {AVERAGE: whole, DISCRIMINATOR: load_discriminator(folder)}
    largest = max(_save_halved(out / name, network, folder) for name, network in networks.items())
    samplers = (Sampler(g, labels=described.get("labels")) for g in (whole, load_generator(out)[0]))
    images, others = (sampler.draw(range(IMAGES)) for sampler in samplers)
    difference = (images.clamp(-1, 1) - others.clamp(-1, 1)).abs() / LEVEL
    within = float((difference < 1).double().mean())
    if within < NEARLY_ALL:
        raise CheckpointError(
            f"{folder}: in float16 only {within:.1%} of the pixels keep their grey level, expected "
            f"at least {NEARLY_ALL:.0%}; train it with generator.conv_clamp: 256"
        )
    return {
        "largest_weight": largest,
        "images": IMAGES,
        "largest_difference": float(difference.max()),
        "within_a_level": within,
    }


def _save_halved(path: Path, network: nn.Module, folder: Path) -> float:
    """Write all tensors in float16; return the largest absolute value of any."""
    tensors: dict[str, Tensor] = network.state_dict()
    largest = float(torch.stack([tensor.abs().max() for tensor in tensors.values()]).max())
    if not largest <= torch.finfo(torch.float16).max:  # NaN is not, either
        raise CheckpointError(
            f"{folder / path.name}: holds a weight of {largest:.3g}, which float16 cannot hold "
            "(at most 65504); train it again at a lower rate"
        )
    save_tensors(path, {name: tensor.half() for name, tensor in tensors.items()})
    return largest
