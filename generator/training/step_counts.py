"""The numbers of a training that follow from its settings, step counts and seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from vesselforge.configs.settings import GeneratorSettings
from vesselforge.generator.training.longer import steps_of

PATH_EVERY = 4
"""Steps between path-length penalties."""
LEAKY = 0.8
"""From this p on augmentations show in samples: images are seldom seen as they are. The ceiling of
adaptive augmentation."""


@dataclass(frozen=True)
class Schedule:
    """What follows from the settings (StyleGAN2-ADA's `auto` rule)."""

    steps: int
    r1_gamma: float
    ema_kimg: float
    ema_rampup: float | None

    @staticmethod
    def of(settings: GeneratorSettings, continued: bool) -> Schedule:
        """`continued`: from trained weights, whose average must not be forgotten by a ramp-up."""
        batch, side = settings.batch, settings.resolution
        gamma = 0.0002 * side**2 / batch if settings.r1_gamma is None else settings.r1_gamma
        return Schedule(
            steps=steps_of(settings),
            r1_gamma=gamma,
            ema_kimg=batch * 10 / 32 if settings.ema_kimg is None else settings.ema_kimg,
            ema_rampup=None if continued else settings.ema_rampup or None,
        )


def lazy_adam(network: nn.Module, lr: float, interval: int) -> torch.optim.Adam:
    """Adam, slowed to make up for the extra step every `interval` steps (StyleGAN2, appendix B).

    Frozen layers are buffers of the network: the optimiser does not know them.
    """
    ratio = interval / (interval + 1)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=lr * ratio, betas=(0.0, 0.99**ratio), eps=1e-8, fused=True
    )
    optimizer.param_groups[0]["initial_lr"] = lr * ratio
    return optimizer


def lr_factor(step: int, steps: int, end: float) -> float:
    """Return the share of the learning rate that holds at a step (from 0): along half a cosine
    from 1 to `end` at the last one."""
    done = min(1.0, step / max(1, steps - 1))
    return end + (1 - end) * (1 + math.cos(math.pi * done)) / 2


def noise_at(settings: GeneratorSettings, channels: int, step: int, steps: int) -> list[float]:
    """Return the standard deviation, by image channel, of the noise that the discriminator sees at
    a step (from 0)."""
    done = min(1.0, step / max(1, steps - 1))
    share = 1 - (1 - settings.d_noise_end) * done
    colours = channels - (settings.channels == "rgb+mask")
    noises = [settings.d_noise] * colours + [settings.d_noise_mask] * (channels - colours)
    return [share * noise for noise in noises]


def adjust_p(
    p: float, r_t: float, target: float, images: float, ada_kimg: float, p_max: float = LEAKY
) -> float:
    """Return the next p after `images` real images with mean sign(D(real)) = `r_t` (ADA paper,
    section 3.2).

    r_t above the target means that the discriminator has begun to know its images by heart.
    Uncapped, p ends above 1 on small sets and the augmentations show in the samples.
    """
    direction = int(r_t > target) - int(r_t < target)
    return min(max(p + direction * images / (ada_kimg * 1000), 0.0), p_max)


def ema_beta(batch: int, ema_kimg: float, rampup: float | None, images: float) -> float:
    """Return the decay of the weight average for a half-life in images; 0 at the very start."""
    half_life = ema_kimg * 1000
    if rampup is not None:
        half_life = min(half_life, images * rampup)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


def seed_of(seed: int, *purpose: int) -> int:
    """Return a seed for `torch.manual_seed`, independent for every purpose."""
    return int(np.random.SeedSequence([seed, *purpose]).generate_state(1, np.uint64)[0] >> 1)
