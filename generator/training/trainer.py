"""One training of StyleGAN2-ADA as an object: networks, optimisers, one step, save and restore.

A step's randomness comes from (seed, step) alone, so a training that was interrupted and resumed
is, on a CPU with the same thread count, bit for bit the one that was not. Several processes do the
step of one: the same draws, gradients that add up, decisions from the same sums.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vesselforge.configs.settings import GeneratorSettings
from vesselforge.engine.checkpoints import pack_optimizer, unpack_optimizer
from vesselforge.engine.devices import pick_device, slow_bfloat16
from vesselforge.engine.torchrun.ranks import ProcessGroup, default_group
from vesselforge.generator.augment import AugmentPipe, permitted
from vesselforge.generator.networks import Discriminator, Generator
from vesselforge.generator.shards import shard_of
from vesselforge.generator.training.adversarial import AdversarialLoss, Stats
from vesselforge.generator.training.running_sums import RunningSums, totals
from vesselforge.generator.training.step_counts import (
    LEAKY,
    PATH_EVERY,
    Schedule,
    adjust_p,
    ema_beta,
    lazy_adam,
    lr_factor,
    noise_at,
    seed_of,
)

ADA_INTERVAL = 4
"""Steps between adjustments of p."""
DRAWS, G_MAIN, G_PATH, D_MAIN, D_R1 = range(5)
"""What of a step has a random stream of its own: latents and labels, and each phase."""


class Trainer:
    """The state of a training after `step` steps; the same in every process of a group."""

    def __init__(
        self,
        settings: GeneratorSettings,
        generator: Generator,
        discriminator: Discriminator,
        average: Generator | None = None,
        labels: Tensor | None = None,
        say: Callable[[str], None] = lambda text: None,
        ranks: ProcessGroup | None = None,
    ) -> None:
        """Networks are moved to the settings' device. average: of trained networks; of new ones it
        starts as a copy of the generator.

        labels: those of the training images, `[images, c_dim]`, of which generated images get
        theirs; needed by conditional networks. say: takes warnings. ranks: default, torchrun's.
        Raises ConfigError when the batch cannot be divided over processes.
        """
        self.settings = settings
        self.schedule = Schedule.of(settings, continued=average is not None)
        self.say = say
        self.ranks = default_group() if ranks is None else ranks
        self.device = pick_device(settings.device)
        self.generator = generator.to(self.device).train()
        self.discriminator = discriminator.to(self.device).train()
        self.average = copy.deepcopy(generator) if average is None else average.to(self.device)
        self.average.eval().requires_grad_(False)
        self.labels = None if labels is None else labels.to(self.device)
        self.optimizer_g = lazy_adam(generator, settings.lr, PATH_EVERY)
        lr_d = settings.lr * settings.d_lr_ratio
        self.optimizer_d = lazy_adam(discriminator, lr_d, settings.r1_every)
        self.augment: AugmentPipe | None = None
        if settings.augment != "none":  # stays on the CPU, where reading p and margins is free
            self.augment = AugmentPipe(permitted(settings.augment_pipe, settings.mirror))
            self.augment.p.fill_(settings.augment_p)
        if settings.precision == "bfloat16" and slow_bfloat16(self.device):
            say("this CPU has no bfloat16 arithmetic: `precision: float32` is faster here")
        shard_of(settings.batch, settings.mbstd_group, self.ranks)  # says now what does not fit
        self.loss = AdversarialLoss(
            generator,
            discriminator,
            self.augment,
            r1_gamma=self.schedule.r1_gamma,
            style_mixing=settings.style_mixing,
            pl_weight=settings.path_length_weight,
            group=settings.mbstd_group,
            ranks=self.ranks,
            dtype=torch.bfloat16 if settings.precision == "bfloat16" else None,
        )
        self.step = 0
        self.r_t = 0.0
        self.warned = False
        self.figures = RunningSums(self.device)

    @property
    def p(self) -> float:
        """Probability of augmentation."""
        return 0.0 if self.augment is None else float(self.augment.p)

    def advance(self, real: Tensor, labels: Tensor | None = None) -> None:
        """Do one step: both networks, penalties when due.

        real: the whole batch `[N, C, R, R]` in [-1, 1]; labels: its labels `[N, c_dim]`, needed by
        conditional networks. Every process gets all of it and does its part.
        """
        cfg, step, loss = self.settings, self.step, self.loss
        n = real.shape[0]
        self._follow_schedule()
        self._seed(DRAWS)
        z_g, z_path, z_d = torch.randn([3, n, self.generator.z_dim], device=self.device)
        c_g, c_path, c_d = self._draw_labels(n)
        real_c = None if labels is None else labels.to(self.device)
        self._seed(G_MAIN)
        self._descend(self.optimizer_g, loss.generator_main(z_g, c_g))
        if cfg.path_length_weight > 0 and step % PATH_EVERY == 0:
            self._seed(G_PATH)
            stats = loss.generator_regularise(z_path, c_path, gain=PATH_EVERY)
            self._descend(self.optimizer_g, stats)
        self._seed(D_MAIN)
        self._descend(self.optimizer_d, loss.discriminator_main(real, z_d, real_c, c_d))
        if step % cfg.r1_every == 0:
            self._seed(D_R1)
            stats = loss.discriminator_regularise(real, real_c, gain=cfg.r1_every)
            self._descend(self.optimizer_d, stats)
        self._average(n)
        self.step += 1
        if self.step % ADA_INTERVAL == 0:
            self._adjust(n)

    @property
    def diverged(self) -> str:
        """How a step went wrong, empty while all is well. Waits for the device."""
        not_finite, exploded = self.figures.wrong.tolist()
        if not_finite:
            return "the loss is no longer a finite number"
        return "the discriminator's scores have exploded" if exploded else ""

    @property
    def advice(self) -> str:
        """What keeps a training from diverging."""
        cfg, augment = self.settings, ""
        if cfg.augment != "ada":
            augment = f" (now {cfg.augment})"
        return (
            f"lower generator.lr (now {cfg.lr:g}), raise generator.r1_gamma (now "
            f"{self.schedule.r1_gamma:g}; 2 to 10 times is usual) or generator.batch (now "
            f"{cfg.batch}), use generator.augment: ada{augment}, start from a trained network with "
            "generator.freeze_d (10, say), or train on more images"
        )

    def report(self) -> dict[str, float]:
        """Return the mean of every figure since the last call, and start anew."""
        return self.figures.report() | {"p": self.p, "r_t": self.r_t}

    def described(self) -> dict[str, Any]:
        """Return what generator.json tells of the training."""
        schedule = self.schedule
        told = {"steps": schedule.steps, "lr": self.settings.lr, "r1_gamma": schedule.r1_gamma}
        return told | {"p": self.p, "r_t": self.r_t}

    def tensors(self) -> dict[str, Tensor]:
        """Return everything a checkpoint needs."""
        found: dict[str, Tensor] = {}
        for prefix, network in self._networks().items():
            found |= {f"{prefix}.{name}": t for name, t in network.state_dict().items()}
        found |= pack_optimizer(self.optimizer_g, "adam_g")
        found |= pack_optimizer(self.optimizer_d, "adam_d")
        return found | {"sums": self.figures.table, "pl_mean": self.loss.pl_mean}

    def state(self) -> dict[str, Any]:
        """Return the rest of the state, as JSON."""
        return {"p": self.p, "r_t": self.r_t, "warned": self.warned}

    def restore(self, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Become what `tensors()` and `state()` described."""
        for prefix, network in self._networks().items():
            start = f"{prefix}."
            part = {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}
            network.load_state_dict(part)
        unpack_optimizer(self.optimizer_g, tensors, "adam_g")
        unpack_optimizer(self.optimizer_d, tensors, "adam_d")
        self.figures.table.copy_(tensors["sums"])
        self.loss.pl_mean = tensors["pl_mean"].to(self.device)
        if self.augment is not None:
            self.augment.p.fill_(state["p"])
        self.r_t = float(state["r_t"])
        self.warned = bool(state["warned"])
        self.step = step

    def _networks(self) -> dict[str, nn.Module]:
        return {"G": self.generator, "D": self.discriminator, "G_ema": self.average}

    def _seed(self, phase: int) -> None:
        torch.manual_seed(seed_of(self.settings.seed, self.step + 1, phase))

    def _draw_labels(self, n: int) -> tuple[Tensor | None, ...]:
        """Draw labels of generated images for three phases, from those of the training images."""
        if self.labels is None:
            return None, None, None
        drawn = torch.randint(len(self.labels), [3, n], device=self.device)
        return tuple(self.labels[drawn])

    def _follow_schedule(self) -> None:
        """Set the learning rates and the discriminator's noise of the step."""
        cfg, steps = self.settings, self.schedule.steps
        noise = noise_at(cfg, self.generator.img_channels, self.step, steps)
        levels = torch.tensor(noise, device=self.device).reshape(1, -1, 1, 1)
        self.loss.d_noise = levels if any(noise) else None
        factor = lr_factor(self.step, steps, cfg.lr_end)
        for optimizer in (self.optimizer_g, self.optimizer_d):
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    def _descend(self, optimizer: torch.optim.Optimizer, stats: Stats) -> None:
        """Step on the gradients that a phase left, which also returned `stats`."""
        names, table = totals(stats)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        for parameter in parameters:
            if parameter.grad is None:  # a process without a row in the phase has none
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in parameters if p.grad is not None]
        self.ranks.all_reduce_each([*gradients, table])  # in one message
        self.figures.collect(names, table)
        for grad in gradients:
            torch.nan_to_num(grad, nan=0, posinf=1e5, neginf=-1e5, out=grad)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

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
        cfg, self.r_t = self.settings, self.figures.mean_sign()
        if self.augment is not None and cfg.augment == "ada":
            images = n * ADA_INTERVAL
            p = adjust_p(self.p, self.r_t, cfg.ada_target, images, cfg.ada_kimg)
            self.augment.p.fill_(p)
        if not self.warned and self.p > LEAKY - 1e-6:
            self.warned = True
            self.say(
                f"generator: at step {self.step} the augmentation probability p is {self.p:.2f} "
                f"(r_t {self.r_t:.2f}, target {cfg.ada_target:g}). Above about {LEAKY:g} "
                "augmentations begin to show in the samples: turned, mirrored or tinted images. "
                "What helps: more training images, generator.start_from with generator.freeze_d "
                "(10, say), fewer kimg, another generator.r1_gamma (now "
                f"{self.schedule.r1_gamma:g}); augment_pipe: bg leaves colours alone, mirror: "
                "false mirrors nothing"
            )
