"""Named recipes of StyleGAN2-ADA: what a preset fills in where the user says nothing."""

from __future__ import annotations

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

FIXED: dict[str, dict[str, Any]] = {
    "stylegan2": {
        "batch": 32, "mbstd_group": 4, "channel_base": 32768, "lr": 0.002, "r1_gamma": 10.0,
        "ema_kimg": 10.0,
    },
    "paper256": {
        "batch": 64, "mbstd_group": 8, "channel_base": 16384, "lr": 0.0025, "r1_gamma": 1.0,
        "ema_kimg": 20.0,
    },
    "paper512": {
        "batch": 64, "mbstd_group": 8, "channel_base": 32768, "lr": 0.0025, "r1_gamma": 0.5,
        "ema_kimg": 20.0,
    },
    "paper1024": {
        "batch": 32, "mbstd_group": 4, "channel_base": 32768, "lr": 0.002, "r1_gamma": 2.0,
        "ema_kimg": 10.0,
    },
}  # fmt: skip

SMALL_SET: dict[str, Any] = {
    "batch": 8,
    "mbstd_group": 4,
    "mapping_layers": 2,
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

JOINT_SMALL: dict[str, Any] = {
    "channels": "rgb+mask",
    "batch": 8,
    "mbstd_group": 4,
    "mapping_layers": 2,
    "latent": 64,
    "channel_base": 2048,
    "lr": 0.002,
    "lr_end": 0.2,
    "r1_gamma": 1.0,
    "ema_kimg": 5.0,
    "path_length_weight": 0.0,
    "augment": "none",
    "d_noise": 0.05,
    "d_noise_mask": 0.2,
    "d_noise_end": 0.5,
    "precision": "bfloat16",
}
"""Image and mask, from scratch, of images of which there is no lack (phantoms). Without the noise,
or with a hard mask, the discriminator's loss was 0.02 by 10 kimg and the samples were fog. With the
R1 weight of the rule of thumb, 0.1 at 64 pixels, it still won in one training of two (0.05 at 15
kimg); with 1 its loss was 0.8 at 6 kimg."""

ADAPT_FEW: dict[str, Any] = {
    "channels": "rgb+mask",
    "batch": 8,
    "mbstd_group": 4,
    "mapping_layers": 2,
    "latent": 64,
    "channel_base": 2048,
    "channel_max": 128,
    "kimg": 20.0,
    "lr": 0.0005,
    "r1_gamma": 1.0,
    "ema_kimg": 2.0,
    "path_length_weight": 0.0,
    "style_mixing": 0.0,
    "freeze_d": 4,
    "augment": "ada",
    "augment_pipe": "bg",
    "ada_kimg": 50.0,
    "d_noise": 0.03,
    "d_noise_mask": 0.15,
    "precision": "bfloat16",
}
"""From a generator that `joint-small` made to a few images: the same networks and R1 weight, about
the noise that it ended with, a quarter of the rate, for the 5 to 40 kimg that few images take (Ojha
et al. 2021: 4 for near domains, 20 for far ones). Freeze-D (Mo et al. 2020) keeps the
discriminator's block at the image's side, its four layers fromrgb, conv0, conv1 and skip: what an
edge or grain looks like is not learnt anew. A few images are soon known by heart, so p may reach
0.4 within 20 kimg."""


def preset_values(
    name: Preset, resolution: int, processes: int = 1, channels: str | None = None
) -> dict[str, Any]:
    """Return the settings that a preset stands for; `auto` scales with resolution and processes
    (one process a GPU).

    channels: of `adapt-few`, if set beside it: without a mask there is no noise on it, either.
    """
    if name == "small-set":
        return dict(SMALL_SET)
    if name == "joint-small":
        return dict(JOINT_SMALL)
    if name == "adapt-few":
        masked = channels in (None, ADAPT_FEW["channels"])
        return ADAPT_FEW | ({} if masked else {"d_noise_mask": 0.0})
    if name == "auto":
        return PAPER | _auto(resolution, processes)
    return PAPER | FIXED[name]


def _auto(resolution: int, processes: int) -> dict[str, Any]:
    """The paper authors' rule of thumb for any resolution and number of GPUs."""
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
