"""Named recipes of StyleGAN2-ADA: what a preset fills in where the user says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Preset = Literal[
    "auto", "stylegan2", "paper256", "paper512", "paper1024",
    "small-set", "joint-small", "adapt-few",
]  # fmt: skip

PAPER: dict[str, Any] = {
    "latent": 512,
    "channel_max": 512,
    "mapping_layers": 8,
    "conv_clamp": 256.0,
    "ema_rampup": None,
    "ada_kimg": 500.0,
    "kimg": 25000.0,
}
"""What all recipes of the StyleGAN2-ADA paper share; `auto` changes two of them."""

SMALL_SET: dict[str, Any] = {
    "lr": 0.0008,
    "d_lr_ratio": 4.0,
    "path_length_weight": 0.0,
    "style_mixing": 0.0,
    "augment_pipe": "bg",
    "ada_kimg": 200.0,
}
"""A few dozen images, seen as patches, and little computing. Small batches, for many steps. The
discriminator learns four times as fast as the generator: with equal rates it stayed near chance
from 7 kimg on, chasing tints and grain, and never came to look at vessels. Path length and mixing
are off, as for CIFAR-10; augmentation leaves colours alone, which 16 fundus images hardly vary."""

JOINT: dict[str, Any] = {
    "channels": "rgb+mask",
    "latent": 64,
    "channel_base": 2048,
    "r1_gamma": 1.0,
    "path_length_weight": 0.0,
    "precision": "bfloat16",
}
"""What both recipes of image and mask share, so that one can start from the other."""

JOINT_SMALL = JOINT | {
    "lr": 0.002,
    "lr_end": 0.2,
    "ema_kimg": 5.0,
    "augment": "none",
    "d_noise": 0.05,
    "d_noise_mask": 0.2,
    "d_noise_end": 0.5,
}
"""Image and mask, from scratch, of images of which there is no lack (phantoms). Without the noise,
or with a hard mask, the discriminator's loss was 0.02 by 10 kimg and the samples were fog. With the
R1 weight of the rule of thumb, 0.1 at 64 pixels, it still won in one training of two (0.05 at 15
kimg); with 1 its loss was 0.8 at 6 kimg."""

ADAPT_FEW = JOINT | {
    "kimg": 20.0,
    "lr": 0.0005,
    "ema_kimg": 2.0,
    "style_mixing": 0.0,
    "freeze_d": 4,
    "augment_pipe": "bg",
    "ada_kimg": 50.0,
    "d_noise": 0.03,
    "d_noise_mask": 0.15,
}
"""From a generator that `joint-small` made to a few images: the same networks and R1 weight, about
the noise that it ended with, a quarter of the rate, for the 5 to 40 kimg that few images take (Ojha
et al. 2021: 4 for near domains, 20 for far ones). Freeze-D (Mo et al. 2020) keeps the
discriminator's block at the image's side, its four layers fromrgb, conv0, conv1 and skip: what an
edge or grain looks like is not learnt anew. A few images are soon known by heart, so p may reach
0.4 within 20 kimg."""


RECIPES: dict[str, dict[str, Any]] = {
    "stylegan2": PAPER | {
        "batch": 32, "channel_base": 32768, "lr": 0.002, "r1_gamma": 10.0, "ema_kimg": 10.0,
    },
    "paper256": PAPER | {
        "batch": 64, "mbstd_group": 8, "channel_base": 16384, "r1_gamma": 1.0, "ema_kimg": 20.0,
    },
    "paper512": PAPER | {
        "batch": 64, "mbstd_group": 8, "channel_base": 32768, "r1_gamma": 0.5, "ema_kimg": 20.0,
    },
    "paper1024": PAPER | {
        "batch": 32, "channel_base": 32768, "lr": 0.002, "r1_gamma": 2.0, "ema_kimg": 10.0,
    },
    "small-set": SMALL_SET,
    "joint-small": JOINT_SMALL,
    "adapt-few": ADAPT_FEW,
}  # fmt: skip
"""What is not in a recipe is as by default: batches of 8, groups of 4, a rate of 0.0025, …"""


def presettable() -> set[str]:
    """Every setting that some preset fills in."""
    return {*_auto(64, 1)}.union(*RECIPES.values())


def preset_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that `given["preset"]` stands for beside the others that are given.

    Raises KeyError, TypeError or ValueError for settings that are none.
    """
    name = given["preset"]
    if name == "auto":
        return PAPER | _auto(int(given.get("resolution", 64)), int(given.get("processes", 1)))
    without_mask = given.get("channels", "rgb+mask") != "rgb+mask"
    return RECIPES[name] | ({"d_noise_mask": 0.0} if without_mask and name == "adapt-few" else {})


def _auto(resolution: int, processes: int) -> dict[str, Any]:
    """The paper authors' rule of thumb for any resolution and number of GPUs, one a process."""
    batch = max(min(processes * min(4096 // resolution, 32), 64), processes)
    return {
        "mapping_layers": 2,
        "batch": batch,
        "mbstd_group": min(batch // processes, 4),
        "channel_base": 32768 if resolution >= 512 else 16384,
        "lr": 0.002 if resolution >= 1024 else 0.0025,
        "r1_gamma": 0.0002 * resolution**2 / batch,
        "ema_kimg": batch * 10 / 32,
        "ema_rampup": 0.05,
    }
