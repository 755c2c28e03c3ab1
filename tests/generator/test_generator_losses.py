"""Losses and their gradients against numbers of the published code."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from generator_helpers import assert_close, load_pair, parity, tensor

from vesselforge.generator.shards import Shard
from vesselforge.generator.training.adversarial import AdversarialLoss

FILE = "losses"


@pytest.fixture
def game():
    g, d = load_pair()
    loss = AdversarialLoss(
        g.train(), d.train(), style_mixing=0, noise_mode="const",
        r1_gamma=float(parity(FILE)["a/in/r1_gamma"]),
    )  # fmt: skip
    loss.pl_mean.fill_(float(parity(FILE)["a/in/pl_mean"]))
    return loss


def check_gradients(network, phase, tolerance):
    names = json.loads(str(parity(FILE)[f"a/{phase}/grad_names_json"]))
    parameters = dict(network.named_parameters())
    assert list(parameters) == names
    norms = [-1.0 if p.grad is None else float(p.grad.norm()) for p in parameters.values()]
    assert_close(torch.tensor(norms), tensor(FILE, f"a/{phase}/grad_norms"), tolerance)
    total = np.sqrt(sum(n**2 for n in norms if n >= 0))
    assert total == pytest.approx(float(parity(FILE)[f"a/{phase}/grad_norm_total"]), rel=tolerance)
    start = f"a/{phase}/grad/"
    for key in parity(FILE):
        if key.startswith(start):
            gradient = parameters[key.removeprefix(start)].grad
            assert_close(gradient, tensor(FILE, key), tolerance)


def test_generator_main(game):
    stats = game.generator_main(tensor(FILE, "a/in/z"))
    assert_close(stats["scores_fake"], tensor(FILE, "a/Gmain/Loss/scores/fake"), 1e-5)
    assert_close(stats["loss_g"], tensor(FILE, "a/Gmain/Loss/G/loss"), 1e-5)
    check_gradients(game.generator, "Gmain", 1e-4)
    assert all(p.grad is None for p in game.discriminator.parameters())


def test_path_length(game, monkeypatch):
    monkeypatch.setattr(Shard, "randn", lambda *_: tensor(FILE, "a/in/pl_randn"))
    stats = game.generator_regularise(tensor(FILE, "a/in/z"), gain=4)
    assert_close(stats["path_length"], tensor(FILE, "a/pl/lengths"), 1e-5)
    assert_close(stats["path_penalty"], tensor(FILE, "a/Greg/Loss/pl_penalty"), 1e-5)
    assert_close(game.pl_mean, tensor(FILE, "a/Greg/pl_mean_after"), 1e-5)
    assert not game.pl_mean.requires_grad
    check_gradients(game.generator, "Greg", 5e-4)


def test_discriminator_main(game):
    stats = game.discriminator_main(tensor(FILE, "a/in/real"), tensor(FILE, "a/in/z"))
    assert_close(stats["scores_fake"], tensor(FILE, "a/Dmain/Loss/scores/fake"), 1e-5)
    assert_close(stats["scores_real"], tensor(FILE, "a/Dmain/Loss/scores/real"), 1e-5)
    assert_close(stats["loss_d"], tensor(FILE, "a/Dmain/Loss/D/loss"), 1e-5)
    check_gradients(game.discriminator, "Dmain", 1e-4)
    assert all(p.grad is None for p in game.generator.parameters())


def test_r1(game):
    stats = game.discriminator_regularise(tensor(FILE, "a/in/real"), gain=16)
    assert_close(stats["scores_real"], tensor(FILE, "a/r1/logits"), 1e-5)
    assert_close(stats["r1_penalty"], tensor(FILE, "a/r1/penalty"), 1e-5)
    check_gradients(game.discriminator, "Dreg", 5e-4)


def test_a_single_image_has_a_path_length(game):
    stats = game.generator_regularise(tensor(FILE, "a/in/z")[:1])
    assert stats["path_length"].shape == (1,)


def test_style_mixing_keeps_the_first_layer():
    g, d = load_pair()
    torch.manual_seed(0)
    game = AdversarialLoss(g, d, style_mixing=1.0)
    z = torch.randn(2, 64)
    plain = g.mapping(z)
    for _ in range(5):
        _, ws = game._generate(z, None, Shard(2))
        same = (ws == plain).all(dim=2).all(dim=0)
        assert same[0]
        assert not same[-1]
        assert (same.int().diff() <= 0).all()  # once mixed, mixed to the end
