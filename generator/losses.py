"""The adversarial game of StyleGAN2: two losses, two lazy penalties.

Each method adds gradients to one network's parameters and returns per-image statistics, detached.
Nothing here knows of optimisers, schedules, logging or data.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generator.networks import Discriminator, Generator

Stats = dict[str, Tensor]


class AdversarialLoss:
    """Logistic loss, path-length penalty on the generator, R1 on the discriminator.

    `augment` changes every image that the discriminator sees, real or generated. `pl_mean`, the
    running mean of path lengths, is training state: save and restore it.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        augment: nn.Module | None = None,
        r1_gamma: float = 10.0,
        style_mixing: float = 0.9,
        pl_weight: float = 2.0,
        pl_decay: float = 0.01,
        noise_mode: str = "random",
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.augment = augment
        self.r1_gamma = r1_gamma
        self.style_mixing = style_mixing
        self.pl_weight = pl_weight
        self.pl_decay = pl_decay
        self.noise_mode = noise_mode
        self.pl_mean = torch.zeros([], device=next(generator.parameters()).device)

    def generator_main(self, z: Tensor, c: Tensor | None = None, gain: float = 1.0) -> Stats:
        """Non-saturating loss: mean softplus(-D(G(z)))."""
        self._train(self.generator)
        images, _ = self._generate(z, c)
        logits = self._judge(images, c)
        loss = F.softplus(-logits)
        loss.mean().mul(gain).backward()
        return {"scores_fake": logits.detach(), "loss_g": loss.detach()}

    def generator_regularise(self, z: Tensor, c: Tensor | None = None, gain: float = 1.0) -> Stats:
        """Path-length penalty (StyleGAN2, section 3.2) on half of the batch, at least one image."""
        self._train(self.generator)
        n = max(1, z.shape[0] // 2)
        images, ws = self._generate(z[:n], None if c is None else c[:n])
        y = torch.randn_like(images) / math.sqrt(images.shape[2] * images.shape[3])
        (jacobian,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
        lengths = jacobian.square().sum(dim=2).mean(dim=1).sqrt()  # [n]
        # The updated mean is used before it is detached: 1 % of the gradient flows through it.
        mean = self.pl_mean.lerp(lengths.mean(), self.pl_decay)
        self.pl_mean = mean.detach()
        penalty = (lengths - mean).square()
        # The zero term reaches the last biases too, so that Adam ages all parameters alike.
        loss = penalty * self.pl_weight + images[:, 0, 0, 0] * 0
        loss.mean().mul(gain).backward()
        return {"path_penalty": penalty.detach(), "path_length": lengths.detach()}

    def discriminator_main(
        self,
        real: Tensor,
        z: Tensor,
        real_c: Tensor | None = None,
        c: Tensor | None = None,
        gain: float = 1.0,
    ) -> Stats:
        """Logistic loss: mean softplus(D(G(z))) + mean softplus(-D(real)).

        Generated and real images go through D apart, so that minibatch-std never mixes them.
        """
        self._train(self.discriminator)
        with torch.no_grad():
            images, _ = self._generate(z, c)
        fake = self._judge(images, c)
        loss_fake = F.softplus(fake)
        loss_fake.mean().mul(gain).backward()  # at once: its graph is freed before the next
        logits = self._judge(real, real_c)
        loss_real = F.softplus(-logits)
        loss_real.mean().mul(gain).backward()
        return {
            "scores_fake": fake.detach(),
            "scores_real": logits.detach(),
            "loss_d": loss_fake.detach() + loss_real.detach(),
        }

    def discriminator_regularise(
        self, real: Tensor, c: Tensor | None = None, gain: float = 1.0
    ) -> Stats:
        """R1 penalty (Mescheder et al. 2018): gamma/2 times the squared image gradient of D.

        The gradient is that with respect to the image before augmentation.
        """
        self._train(self.discriminator)
        real = real.detach().requires_grad_(True)
        logits = self._judge(real, c)
        (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        penalty = gradient.square().sum(dim=[1, 2, 3])  # [N]
        loss = penalty * (self.r1_gamma / 2) + logits.flatten() * 0  # as in the path penalty
        loss.mean().mul(gain).backward()
        return {"scores_real": logits.detach(), "r1_penalty": penalty.detach()}

    def _train(self, network: nn.Module) -> None:
        self.generator.requires_grad_(network is self.generator)
        self.discriminator.requires_grad_(network is self.discriminator)

    def _generate(self, z: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return images and their ws, mixed from two latents with probability `style_mixing`."""
        mapping = self.generator.mapping
        ws = mapping(z, c)
        if self.style_mixing > 0:
            layers = torch.arange(ws.shape[1], device=ws.device)
            cutoff = torch.randint(1, ws.shape[1], [], device=ws.device)
            mix = torch.rand([], device=ws.device) < self.style_mixing
            other = mapping(torch.randn_like(z), c, skip_w_avg_update=True)
            # `where` instead of slicing at a drawn index: the host never waits for the device.
            ws = torch.where((mix & (layers >= cutoff))[None, :, None], other, ws)
        return self.generator.synthesis(ws, noise_mode=self.noise_mode), ws

    def _judge(self, images: Tensor, c: Tensor | None) -> Tensor:
        if self.augment is not None:
            images = self.augment(images)
        logits: Tensor = self.discriminator(images, c)
        return logits
