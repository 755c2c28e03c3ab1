"""The adversarial game of StyleGAN2: two losses, two lazy penalties.

Each method adds gradients to one network's parameters and returns per-image statistics, detached;
what was descended is one of them, to see whether it is a finite number. Several processes may share
a batch (see `shards`): the gradients of all of them add up to those of the whole batch.
Nothing here knows of optimisers, schedules, logging or data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vesselforge.engine.torchrun.ranks import ProcessGroup
from vesselforge.generator.augment import AugmentPipe
from vesselforge.generator.networks import Discriminator, Generator
from vesselforge.generator.networks.synthesis import NoiseMode
from vesselforge.generator.shards import Shard, shard_of

Stats = dict[str, Tensor]
PL_DECAY = 0.01
"""Of the running mean of path lengths."""


@dataclass(eq=False)
class AdversarialLoss:
    """Logistic loss, path-length penalty on the generator, R1 on the discriminator.

    `augment` changes every image that the discriminator sees, real or generated. `pl_mean`, the
    running mean of path lengths, is training state: save and restore it.

    Every phase takes the whole batch and does this process's shard of it; several processes must be
    seeded alike before it. `gain` multiplies the gradients. group: of minibatch-std.

    dtype: of the features in the two main losses (bfloat16: faster). The penalties, which square
    small gradients, and all that is stored stay in float32.

    `d_noise`, `[1, C, 1, 1]`, is the standard deviation of noise on all that the discriminator
    sees, real or generated (instance noise, Sønderby et al. 2017); None: no noise.
    """

    generator: Generator
    discriminator: Discriminator
    augment: AugmentPipe | None = None
    r1_gamma: float = 10.0
    style_mixing: float = 0.9
    pl_weight: float = 2.0
    noise_mode: NoiseMode = "random"
    group: int | None = None
    ranks: ProcessGroup = field(default_factory=ProcessGroup)
    dtype: torch.dtype | None = None
    d_noise: Tensor | None = None

    def __post_init__(self) -> None:
        self.pl_mean = torch.zeros([], device=next(self.generator.parameters()).device)

    def generator_main(self, z: Tensor, c: Tensor | None = None) -> Stats:
        """Non-saturating loss: mean softplus(-D(G(z)))."""
        shard = self._begin(self.generator, z.shape[0], self.group)
        images, _ = self._generate(z, c, shard, main=True)
        logits = self._judge(images, c, shard, main=True)
        loss = F.softplus(-logits)
        _descend(loss, shard)
        return {"scores_fake": logits.detach(), "loss_g": loss.detach()}

    def generator_regularise(self, z: Tensor, c: Tensor | None = None, gain: float = 1.0) -> Stats:
        """Path-length penalty (StyleGAN2, section 3.2) on half of the batch, at least one image.

        penalty_i = (l_i - a')², a' = a + decay·(mean l - a), and 1 % of the gradient flows through
        a': (2/n)·Σ_i ((l_i - a') - decay·(mean l - a'))·dl_i. The mean is that of all processes.
        """
        n = max(1, z.shape[0] // 2)
        z, c = z[:n], None if c is None else c[:n]
        shard = self._begin(self.generator, n, None)
        images, ws = self._generate(z, c, shard)  # the mean of w moves in every process
        length = self.pl_mean.new_zeros(0)
        if not shard.empty:
            y = shard.randn(images.shape, images.device)
            y = y / math.sqrt(images.shape[2] * images.shape[3])
            (jacobian,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
            length = jacobian.square().sum(dim=2).mean(dim=1).sqrt()
        lengths = length.detach()
        average = self.ranks.all_reduce(lengths.sum()) / n
        self.pl_mean = mean = self.pl_mean.lerp(average, PL_DECAY)
        if not shard.empty:
            pull = (lengths - mean) - PL_DECAY * (average - mean)
            # The zero term reaches the last biases too, so that Adam ages all parameters alike.
            _descend(2 * pull * length * self.pl_weight + images[:, 0, 0, 0] * 0, shard, gain)
        penalty = (lengths - mean).square()
        weighted = penalty * self.pl_weight
        return {"path_penalty": penalty, "path_length": lengths, "loss_path": weighted}

    def discriminator_main(
        self,
        real: Tensor,
        z: Tensor,
        real_c: Tensor | None = None,
        c: Tensor | None = None,
    ) -> Stats:
        """Logistic loss: mean softplus(D(G(z))) + mean softplus(-D(real)).

        Generated and real images go through D apart, so that minibatch-std never mixes them.
        """
        shard = self._begin(self.discriminator, z.shape[0], self.group)
        with torch.no_grad():
            images, _ = self._generate(z, c, shard, main=True)
        fake = self._judge(images, c, shard, main=True)
        loss_fake = F.softplus(fake)
        _descend(loss_fake, shard)  # at once: its graph is freed before the next
        logits = self._judge(shard.cut(real), real_c, shard, main=True)
        loss_real = F.softplus(-logits)
        _descend(loss_real, shard)
        loss = loss_fake.detach() + loss_real.detach()
        return {"scores_fake": fake.detach(), "scores_real": logits.detach(), "loss_d": loss}

    def discriminator_regularise(
        self, real: Tensor, c: Tensor | None = None, gain: float = 1.0
    ) -> Stats:
        """R1 penalty (Mescheder et al. 2018): gamma/2 times the squared image gradient of D.

        The gradient is that with respect to the image before augmentation.
        """
        shard = self._begin(self.discriminator, real.shape[0], self.group)
        images = shard.cut(real).detach().requires_grad_(True)
        logits = self._judge(images, c, shard)
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        penalty = gradient.square().sum(dim=[1, 2, 3])
        loss = penalty * (self.r1_gamma / 2) + logits.flatten() * 0  # as in the path penalty
        _descend(loss, shard, gain)
        stats = {"scores_real": logits, "r1_penalty": penalty, "loss_r1": loss}
        return {name: values.detach() for name, values in stats.items()}

    def _begin(self, network: nn.Module, n: int, group: int | None) -> Shard:
        """Let one network learn; return this process's shard of n samples."""
        self.generator.requires_grad_(network is self.generator)
        self.discriminator.requires_grad_(network is self.discriminator)
        return shard_of(n, group, self.ranks)

    def _generate(
        self, z: Tensor, c: Tensor | None, shard: Shard, main: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return a shard's images and their ws `[N, num_ws, w_dim]`, which are mixed from two with
        probability `style_mixing`; `main`: in `dtype`, for the main losses."""
        mapping = self.generator.mapping
        ws: Tensor = mapping(z, c)
        if self.style_mixing > 0:
            layers = torch.arange(ws.shape[1], device=ws.device)
            cutoff = torch.randint(1, ws.shape[1], [], device=ws.device)
            mix = torch.rand([], device=ws.device) < self.style_mixing
            other = mapping(torch.randn_like(z), c, skip_w_avg_update=True)
            # `where` instead of slicing at a drawn index: the host never waits for the device.
            ws = torch.where((mix & (layers >= cutoff))[None, :, None], other, ws)
        ws = shard.cut(ws)
        if shard.empty:
            return ws, ws
        images: Tensor = self.generator.synthesis(
            ws, noise_mode=self.noise_mode, randn=shard.randn, dtype=self.dtype if main else None
        )
        return images, ws

    def _judge(self, images: Tensor, c: Tensor | None, shard: Shard, main: bool = False) -> Tensor:
        """Return the logits of a shard's images; `c` is that of the whole batch."""
        if self.augment is not None:
            images = self.augment(images, shard=shard)
        if self.d_noise is not None:
            images = images + self.d_noise * shard.randn(images.shape, images.device)
        c = None if c is None else shard.cut(c)
        logits: Tensor = self.discriminator(images, c, dtype=self.dtype if main else None)
        return logits


def _descend(loss: Tensor, shard: Shard, gain: float = 1.0) -> None:
    """Add this shard's part of the gradient of the batch's mean loss."""
    loss.sum().mul(gain / shard.total).backward()
