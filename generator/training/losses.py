"""The adversarial game of StyleGAN2: two losses, two lazy penalties.

Each method adds gradients to one network's parameters and returns per-image statistics, detached;
`OBJECTIVE` is what was descended. A batch may be handled in several rounds and processes (see
`shares`): the gradients of all of them add up to those of the whole batch.
Nothing here knows of optimisers, schedules, logging or data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vesselforge.generator.augment import AugmentPipe
from vesselforge.generator.networks import Discriminator, Generator
from vesselforge.generator.shares import Share, Split
from vesselforge.generator.training.compiling import compiled

Stats = dict[str, Tensor]
OBJECTIVE = "objective"
"""Statistic of every phase: its loss, to see whether it is a finite number."""


class AdversarialLoss:
    """Logistic loss, path-length penalty on the generator, R1 on the discriminator.

    `augment` changes every image that the discriminator sees, real or generated. `pl_mean`, the
    running mean of path lengths, is training state: save and restore it.

    Every phase takes the whole batch and does this process's rounds of it; `seed` is then needed,
    so that all rounds and processes draw alike. `gain` multiplies the gradients.

    dtype: of the features in the two main losses (bfloat16: faster). The penalties, which square
    small gradients, and all that is stored stay in float32.
    compile: run the networks of the main losses through torch.compile (see `compiling`).

    `d_noise`, `[1, C, 1, 1]`, is the standard deviation of noise on all that the discriminator
    sees, real or generated (instance noise, Sønderby et al. 2017); None: no noise.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        augment: AugmentPipe | None = None,
        r1_gamma: float = 10.0,
        style_mixing: float = 0.9,
        pl_weight: float = 2.0,
        pl_decay: float = 0.01,
        noise_mode: str = "random",
        split: Split | None = None,
        dtype: torch.dtype | None = None,
        compile: bool = False,
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.augment = augment
        self.r1_gamma = r1_gamma
        self.style_mixing = style_mixing
        self.pl_weight = pl_weight
        self.pl_decay = pl_decay
        self.noise_mode = noise_mode
        self.split = split or Split()
        self.dtype = dtype
        # The main losses' own ways to run the networks: PyTorch compiles for one derivative only.
        compiles = compiled if compile else lambda network: network
        self._synthesis = compiles(generator.synthesis)
        self._discriminator = compiles(discriminator)
        self.pl_mean = torch.zeros([], device=next(generator.parameters()).device)
        self.d_noise: Tensor | None = None

    def generator_main(
        self, z: Tensor, c: Tensor | None = None, gain: float = 1.0, seed: int | None = None
    ) -> Stats:
        """Non-saturating loss: mean softplus(-D(G(z)))."""
        self._train(self.generator)
        found = []
        for share, first in _rounds(self.split.rounds(z.shape[0]), seed):
            images, _ = self._generate(z, c, share, first, main=True)
            logits = self._judge(images, c, share, main=True)
            loss = F.softplus(-logits)
            _descend(loss, gain, share)
            found.append({"scores_fake": logits.detach(), "loss_g": loss.detach()})
        stats = _joined(found)
        return stats | {OBJECTIVE: stats["loss_g"]}

    def generator_regularise(
        self, z: Tensor, c: Tensor | None = None, gain: float = 1.0, seed: int | None = None
    ) -> Stats:
        """Path-length penalty (StyleGAN2, section 3.2) on half of the batch, at least one image.

        penalty_i = (l_i - a')², a' = a + decay·(mean l - a), and 1 % of the gradient flows through
        a': (2/n)·Σ_i ((l_i - a') - decay·(mean l - a'))·dl_i. One round keeps its graph until the
        mean over all processes is known; of several the lengths alone are computed first.
        """
        self._train(self.generator)
        n = max(1, z.shape[0] // 2)
        z, c = z[:n], None if c is None else c[:n]
        shares = self.split.path_rounds(n)
        kept: list[tuple[Tensor, Tensor]] = []
        lengths = [self.pl_mean.new_zeros(0)]  # float32, whatever z is
        if not shares:  # the mean of w moves in every process
            with torch.no_grad():
                self._latents(z, c, first=True)
        for share, first in _rounds(shares, seed):
            once = len(shares) == 1
            path = self._lengths(z, c, share, first, graph=once)
            lengths.append(path[0].detach())
            kept += [path] if once else []
        whole = torch.cat(lengths)
        average = self.split.team.total(whole.sum()) / n
        mean = self.pl_mean.lerp(average, self.pl_decay)
        self.pl_mean = mean
        for share, _ in _rounds(shares, seed):
            length, images = kept.pop() if kept else self._lengths(z, c, share, False, graph=True)
            pull = (length.detach() - mean) - self.pl_decay * (average - mean)
            # The zero term reaches the last biases too, so that Adam ages all parameters alike.
            loss = 2 * pull * length * self.pl_weight + images[:, 0, 0, 0] * 0
            _descend(loss, gain, share)
        penalty = (whole - mean).square()
        objective = penalty * self.pl_weight
        return {"path_penalty": penalty, "path_length": whole, OBJECTIVE: objective}

    def discriminator_main(
        self,
        real: Tensor,
        z: Tensor,
        real_c: Tensor | None = None,
        c: Tensor | None = None,
        gain: float = 1.0,
        seed: int | None = None,
    ) -> Stats:
        """Logistic loss: mean softplus(D(G(z))) + mean softplus(-D(real)).

        Generated and real images go through D apart, so that minibatch-std never mixes them.
        """
        self._train(self.discriminator)
        found = []
        for share, first in _rounds(self.split.rounds(z.shape[0]), seed):
            with torch.no_grad():
                images, _ = self._generate(z, c, share, first, main=True)
            fake = self._judge(images, c, share, main=True)
            loss_fake = F.softplus(fake)
            _descend(loss_fake, gain, share)  # at once: its graph is freed before the next
            logits = self._judge(share.cut(real), real_c, share, main=True)
            loss_real = F.softplus(-logits)
            _descend(loss_real, gain, share)
            loss = loss_fake.detach() + loss_real.detach()
            stats = {"scores_fake": fake.detach(), "scores_real": logits.detach(), "loss_d": loss}
            found.append(stats)
        stats = _joined(found)
        return stats | {OBJECTIVE: stats["loss_d"]}

    def discriminator_regularise(
        self, real: Tensor, c: Tensor | None = None, gain: float = 1.0, seed: int | None = None
    ) -> Stats:
        """R1 penalty (Mescheder et al. 2018): gamma/2 times the squared image gradient of D.

        The gradient is that with respect to the image before augmentation.
        """
        self._train(self.discriminator)
        found = []
        for share, _ in _rounds(self.split.rounds(real.shape[0]), seed):
            images = share.cut(real).detach().requires_grad_(True)
            logits = self._judge(images, c, share)
            (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
            penalty = gradient.square().sum(dim=[1, 2, 3])
            loss = penalty * (self.r1_gamma / 2) + logits.flatten() * 0  # as in the path penalty
            _descend(loss, gain, share)
            stats = {"scores_real": logits, "r1_penalty": penalty, OBJECTIVE: loss}
            found.append({name: values.detach() for name, values in stats.items()})
        return _joined(found)

    def _train(self, network: nn.Module) -> None:
        self.generator.requires_grad_(network is self.generator)
        self.discriminator.requires_grad_(network is self.discriminator)

    def _latents(self, z: Tensor, c: Tensor | None, first: bool) -> Tensor:
        """Return ws `[N, num_ws, w_dim]`, mixed from two latents with probability `style_mixing`.

        The mean of w, which the mapping network keeps, moves in the first round of a phase.
        """
        mapping = self.generator.mapping
        ws: Tensor = mapping(z, c, skip_w_avg_update=not first)
        if self.style_mixing > 0:
            layers = torch.arange(ws.shape[1], device=ws.device)
            cutoff = torch.randint(1, ws.shape[1], [], device=ws.device)
            mix = torch.rand([], device=ws.device) < self.style_mixing
            other = mapping(torch.randn_like(z), c, skip_w_avg_update=True)
            # `where` instead of slicing at a drawn index: the host never waits for the device.
            ws = torch.where((mix & (layers >= cutoff))[None, :, None], other, ws)
        return ws

    def _generate(
        self, z: Tensor, c: Tensor | None, share: Share, first: bool, main: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return a share's images and their ws; `main`: fast, to be differentiated once."""
        ws = share.cut(self._latents(z, c, first))
        synthesis = self._synthesis if main else self.generator.synthesis
        dtype = self.dtype if main else None
        images: Tensor = synthesis(ws, noise_mode=self.noise_mode, randn=share.randn, dtype=dtype)
        return images, ws

    def _lengths(
        self, z: Tensor, c: Tensor | None, share: Share, first: bool, graph: bool
    ) -> tuple[Tensor, Tensor]:
        """Return a share's path lengths and images; `graph`: to be differentiated again."""
        images, ws = self._generate(z, c, share, first)
        y = share.randn(images.shape, images.device)
        y = y / math.sqrt(images.shape[2] * images.shape[3])
        (jacobian,) = torch.autograd.grad((images * y).sum(), ws, create_graph=graph)
        return jacobian.square().sum(dim=2).mean(dim=1).sqrt(), images

    def _judge(self, images: Tensor, c: Tensor | None, share: Share, main: bool = False) -> Tensor:
        """Return the logits of a share's images; `c` is that of the whole batch."""
        if self.augment is not None:
            images = self.augment(images, share=share)
        if self.d_noise is not None:
            images = images + self.d_noise * share.randn(images.shape, images.device)
        discriminator = self._discriminator if main else self.discriminator
        dtype = self.dtype if main else None
        logits: Tensor = discriminator(images, None if c is None else share.cut(c), dtype=dtype)
        return logits


def _rounds(shares: Sequence[Share], seed: int | None) -> Iterator[tuple[Share, bool]]:
    """Every share, and whether it is the first; all of them from the same random stream."""
    if seed is None and any(share.rows is not None for share in shares):
        raise ValueError("a batch in parts needs a seed, or every part would draw for itself")
    for i, share in enumerate(shares):
        if seed is not None:
            torch.manual_seed(seed)
        yield share, i == 0


def _descend(loss: Tensor, gain: float, share: Share) -> None:
    """Add this share's part of the gradient of the batch's mean loss."""
    loss.sum().mul(gain / share.total).backward()


def _joined(found: Sequence[Stats]) -> Stats:
    return {name: torch.cat([stats[name] for stats in found]) for name in found[0]}
