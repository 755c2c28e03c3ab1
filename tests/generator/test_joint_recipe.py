"""What makes a generator of image and mask trainable: a distance for a mask, noise before the
discriminator, rates that fall."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from generator_helpers import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vesselforge.configs.settings import GeneratorSettings
from vesselforge.generator.networks import Discriminator, Generator
from vesselforge.generator.shards import Shard
from vesselforge.generator.trained import network_kwargs
from vesselforge.generator.training.adversarial import AdversarialLoss
from vesselforge.generator.training.step_counts import Schedule, lr_factor, noise_at
from vesselforge.generator.training.trainer import Trainer
from vesselforge.generator.values import as_channel, encoded, masks_of

JOINT = {"channels": "rgb+mask", "augment": "none"}


def brute_force(mask: np.ndarray) -> np.ndarray:
    """The signed distance by looking at every pixel of the other kind."""
    found = np.empty(mask.shape)
    for y, x in np.ndindex(mask.shape):
        others = np.argwhere(mask != mask[y, x])
        nearest = np.hypot(*(others - (y, x)).T).min() if len(others) else math.inf
        found[y, x] = (nearest - 0.5) * (1 if mask[y, x] else -1)
    return 0.7 * np.tanh(found / 4)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=5, max_size=5))
def test_the_channel_is_the_distance_to_the_edge(rows: list[list[bool]]) -> None:
    mask = np.array(rows)
    found = encoded(mask)
    assert np.allclose(found, brute_force(mask), atol=1e-6)
    assert np.array_equal(found > 0, mask)


def test_a_mask_survives_the_way_through_pixels() -> None:
    mask = np.random.default_rng(0).random((32, 32)) < 0.2
    channel = as_channel(mask)
    assert channel.shape == (32, 32, 1) and channel.dtype == np.uint8
    as_seen = torch.from_numpy(channel.astype(np.float64).transpose(2, 0, 1)[None] / 255 * 2 - 1)
    assert np.array_equal(masks_of(as_seen)[0], mask)


def watched() -> tuple[AdversarialLoss, list[torch.Tensor]]:
    """A loss, and the images that its discriminator sees."""
    kwargs_g, kwargs_d = network_kwargs(tiny(**JOINT))
    loss = AdversarialLoss(Generator(**kwargs_g), Discriminator(**kwargs_d), style_mixing=0)
    seen: list[torch.Tensor] = []

    def see(images: torch.Tensor, c: None, dtype: None = None) -> torch.Tensor:
        seen.append(images)
        return images[:, :1, 0, 0]

    loss.discriminator.forward = see  # type: ignore[method-assign]
    return loss, seen


def test_noise_is_anew_in_every_call_and_of_the_size_it_should_have() -> None:
    loss, seen = watched()
    images = torch.zeros(64, 4, 16, 16)
    loss.d_noise = torch.tensor([0.05, 0.05, 0.05, 0.2]).reshape(1, 4, 1, 1)
    for _ in range(2):
        loss._judge(images, None, Shard(64), main=True)
    assert not torch.equal(*seen)
    assert torch.allclose(seen[0].std(dim=(0, 2, 3)), loss.d_noise.flatten(), rtol=0.03)
    loss.d_noise = None
    loss._judge(images, None, Shard(64), main=True)
    assert torch.equal(seen[2], images)


def test_a_share_of_the_batch_gets_the_noise_that_it_has_in_the_whole() -> None:
    loss, seen = watched()
    loss.d_noise = torch.full([1, 4, 1, 1], 0.1)
    torch.manual_seed(3)
    loss._judge(torch.zeros(8, 4, 16, 16), None, Shard(8), main=True)
    rows = torch.tensor([1, 5])
    torch.manual_seed(3)
    loss._judge(torch.zeros(2, 4, 16, 16), None, Shard(8, rows), main=True)
    assert torch.equal(seen[0][rows], seen[1])


def test_rates_fall_along_half_a_cosine_and_noise_in_a_straight_line() -> None:
    assert [round(lr_factor(step, 101, 0.2), 6) for step in (0, 50, 100, 500)] == [1, 0.6, 0.2, 0.2]
    assert lr_factor(7, 101, 1.0) == 1
    cfg = tiny(**JOINT, d_noise=0.1, d_noise_mask=0.4, d_noise_end=0.5)
    assert np.allclose(noise_at(cfg, 4, 0, 11), [0.1] * 3 + [0.4])
    assert np.allclose(noise_at(cfg, 4, 5, 11), [0.075] * 3 + [0.3])
    assert np.allclose(noise_at(cfg, 4, 99, 11), [0.05] * 3 + [0.2])
    assert noise_at(tiny(d_noise=0.1), 3, 0, 11) == [0.1] * 3


def test_the_trainer_follows_the_schedule() -> None:
    cfg = tiny(**JOINT, lr_end=0.1, d_noise=0.1, d_noise_mask=0.2, d_noise_end=0.0, kimg=0.032)
    kwargs_g, kwargs_d = network_kwargs(cfg)
    schedule = Schedule.of(cfg, continued=False)
    trainer = Trainer(cfg, Generator(**kwargs_g), Discriminator(**kwargs_d))
    rates, noises = [], []
    for _ in range(schedule.steps):
        trainer.advance(torch.rand(cfg.batch, 4, 16, 16) * 2 - 1)
        rates.append(trainer.optimizer_d.param_groups[0]["lr"])
        noises.append(0.0 if trainer.loss.d_noise is None else float(trainer.loss.d_noise.max()))
    first = trainer.optimizer_d.param_groups[0]["initial_lr"]
    assert rates[0] == first and rates[-1] == pytest.approx(first * 0.1)
    assert rates == sorted(rates, reverse=True)
    assert noises[0] == pytest.approx(0.2) and noises[-1] == 0.0


def test_the_preset_is_a_joint_generator_and_noise_on_a_mask_needs_one() -> None:
    cfg = GeneratorSettings.model_validate({"preset": "joint-small"})
    assert (cfg.channels, cfg.augment, cfg.d_lr_ratio) == ("rgb+mask", "none", 1.0)
    with pytest.raises(ValidationError, match=r"d_noise_mask: 0\.1 needs channels: rgb"):
        GeneratorSettings(d_noise_mask=0.1)
