"""One training of StyleGAN2-ADA as an object: networks, optimisers, one step, save and restore.

A step's randomness comes from (seed, step) alone, so a training that was interrupted and resumed
is, on a CPU, bit for bit the one that was not.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from configs.settings import GeneratorSettings
from data.checkpoints import pack_optimizer, unpack_optimizer
from generator.augment import AUGMENT_PRESETS, AugmentPipe, adjust_p
from generator.losses import AdversarialLoss, Stats
from generator.networks import Discriminator, Generator

ADA_INTERVAL = 4
"""Steps between adjustments of p."""
NEVER = -1

FIGURES = (
    "loss_g", "loss_d", "scores_real", "scores_fake", "path_penalty", "path_length", "r1_penalty",
)  # fmt: skip
"""What a training reports, as means since the last report."""


@dataclass(frozen=True)
class Schedule:
    """The numbers of a training that follow from its settings (StyleGAN2-ADA's `auto` rule)."""

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
            steps=max(1, -int(-settings.kimg * 1000 // batch)),
            r1_gamma=gamma,
            ema_kimg=batch * 10 / 32 if settings.ema_kimg is None else settings.ema_kimg,
            ema_rampup=None if continued else settings.ema_rampup,
        )


def lazy_adam(network: nn.Module, lr: float, interval: int) -> torch.optim.Adam:
    """Adam, slowed to make up for the extra step every `interval` steps (StyleGAN2, appendix B)."""
    ratio = interval / (interval + 1)
    return torch.optim.Adam(
        network.parameters(), lr=lr * ratio, betas=(0.0, 0.99**ratio), eps=1e-8, fused=True
    )


def ema_beta(batch: int, ema_kimg: float, rampup: float | None, images: float) -> float:
    """Return the decay of the weight average for a half-life in images; 0 at the very start."""
    half_life = ema_kimg * 1000
    if rampup is not None:
        half_life = min(half_life, images * rampup)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


def seed_of(seed: int, *purpose: int) -> int:
    """Return a seed for `torch.manual_seed`, independent for every purpose."""
    return int(np.random.SeedSequence([seed, *purpose]).generate_state(1, np.uint64)[0] >> 1)


class Trainer:
    """The state of a training after `step` steps."""

    def __init__(
        self,
        settings: GeneratorSettings,
        schedule: Schedule,
        generator: Generator,
        discriminator: Discriminator,
        average: Generator | None = None,
    ) -> None:
        """Networks on their device; `average` starts as a copy of the generator."""
        self.settings = settings
        self.schedule = schedule
        self.device = next(generator.parameters()).device
        self.generator = generator.train()
        self.discriminator = discriminator.train()
        self.average = copy.deepcopy(generator) if average is None else average
        self.average.eval().requires_grad_(False)
        self.optimizer_g = lazy_adam(generator, settings.lr, settings.path_length_every)
        self.optimizer_d = lazy_adam(discriminator, settings.lr, settings.r1_every)
        self.augment: AugmentPipe | None = None
        if settings.augment != "none":  # stays on the CPU, where reading p and margins is free
            self.augment = AugmentPipe(**AUGMENT_PRESETS[settings.augment_pipe])
            self.augment.p.fill_(settings.augment_p)
        self.loss = AdversarialLoss(
            generator,
            discriminator,
            self.augment,
            r1_gamma=schedule.r1_gamma,
            style_mixing=settings.style_mixing,
            pl_weight=settings.path_length_weight,
        )
        self.step = 0
        self.r_t = 0.0
        self.signs = self._zeros(2)  # Σ sign(D(real)), count; since the last adjustment of p
        self.sums = {name: self._zeros(2) for name in FIGURES}  # Σ, count; since the last report
        self.first_bad = torch.full([], NEVER, device=self.device)  # step whose loss was not finite

    @property
    def p(self) -> float:
        """Probability of augmentation."""
        return 0.0 if self.augment is None else float(self.augment.p)

    def advance(self, real: Tensor) -> None:
        """Do one step on a batch `[N, C, R, R]` in [-1, 1]: both networks, penalties when due."""
        cfg, step = self.settings, self.step
        torch.manual_seed(seed_of(cfg.seed, step + 1))
        n, loss = real.shape[0], self.loss
        z_g, z_path, z_d = torch.randn([3, n, self.generator.z_dim], device=self.device)
        self._descend(self.optimizer_g, loss.generator_main(z_g))
        if cfg.path_length_weight > 0 and step % cfg.path_length_every == 0:
            gain = float(cfg.path_length_every)
            self._descend(self.optimizer_g, loss.generator_regularise(z_path, gain=gain))
        self._descend(self.optimizer_d, loss.discriminator_main(real, z_d))
        if step % cfg.r1_every == 0:
            gain = float(cfg.r1_every)
            self._descend(self.optimizer_d, loss.discriminator_regularise(real, gain=gain))
        self._average(n)
        self.step += 1
        if self.step % ADA_INTERVAL == 0:
            self._adjust(n)

    def failed_at(self, wait: bool) -> int | None:
        """Return the first step whose loss was not finite; without `wait` only if that is free."""
        if self.device.type != "cpu" and not wait:
            return None
        step = int(self.first_bad)
        return None if step == NEVER else step

    def report(self) -> dict[str, float]:
        """Return the mean of every figure since the last call, and start anew."""
        found = {}
        for name, total in self.sums.items():
            value, count = total.tolist()
            if count:
                found[name] = value / count
            total.zero_()
        return found | {"p": self.p, "r_t": self.r_t}

    def tensors(self) -> dict[str, Tensor]:
        """Return everything a checkpoint needs."""
        found: dict[str, Tensor] = {}
        for prefix, network in self._networks().items():
            found |= {f"{prefix}.{name}": t for name, t in network.state_dict().items()}
        found |= pack_optimizer(self.optimizer_g, "adam_g")
        found |= pack_optimizer(self.optimizer_d, "adam_d")
        found |= {f"sums.{name}": total for name, total in self.sums.items()}
        return found | {"signs": self.signs, "pl_mean": self.loss.pl_mean}

    def state(self) -> dict[str, Any]:
        """Return the rest of the state, as JSON."""
        return {"p": self.p, "r_t": self.r_t}

    def restore(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Become what `tensors()` and `state()` described."""
        for prefix, network in self._networks().items():
            start = f"{prefix}."
            part = {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}
            network.load_state_dict(part)
        unpack_optimizer(self.optimizer_g, tensors, "adam_g")
        unpack_optimizer(self.optimizer_d, tensors, "adam_d")
        for name, total in self.sums.items():
            total.copy_(tensors[f"sums.{name}"])
        self.signs.copy_(tensors["signs"])
        self.loss.pl_mean = tensors["pl_mean"].to(self.device)
        if self.augment is not None:
            self.augment.p.fill_(state["p"])
        self.r_t = float(state["r_t"])
        self.step = step

    def _networks(self) -> dict[str, nn.Module]:
        return {"G": self.generator, "D": self.discriminator, "G_ema": self.average}

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64, device=self.device)

    def _descend(self, optimizer: torch.optim.Optimizer, stats: Stats) -> None:
        """Step on the gradients that a phase left, which also returned `stats`."""
        self._collect(stats)
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    grad = parameter.grad
                    torch.nan_to_num(grad, nan=0, posinf=1e5, neginf=-1e5, out=grad)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _collect(self, stats: Stats) -> None:
        bad = torch.zeros([], dtype=torch.bool, device=self.device)
        for name, values in stats.items():
            mean = values.double().mean()
            bad |= ~mean.isfinite()
            self.sums[name] += torch.stack([mean, torch.ones_like(mean)])
        if "scores_real" in stats:
            signs = stats["scores_real"].sign().double()
            self.signs += torch.stack([signs.sum(), torch.full_like(signs.sum(), signs.numel())])
        first = bad & (self.first_bad == NEVER)
        self.first_bad = torch.where(first, self.step, self.first_bad)

    @torch.no_grad()
    def _average(self, n: int) -> None:
        schedule = self.schedule
        beta = ema_beta(n, schedule.ema_kimg, schedule.ema_rampup, self.step * n)
        pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
        for mean, current in pairs:
            mean.lerp_(current, 1 - beta)
        buffers = zip(self.average.buffers(), self.generator.buffers(), strict=True)
        for old, new in buffers:
            old.copy_(new)

    def _adjust(self, n: int) -> None:
        """Move p by the sign statistics of real images (ADA paper, section 3.2)."""
        cfg = self.settings
        total, count = self.signs.tolist()
        self.signs.zero_()
        if not count:
            return
        self.r_t = total / count
        if self.augment is not None and cfg.augment == "ada":
            images = n * ADA_INTERVAL
            p = adjust_p(self.p, self.r_t, cfg.ada_target, images, cfg.ada_kimg, cfg.augment_p_max)
            self.augment.p.fill_(p)
