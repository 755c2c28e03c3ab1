"""bfloat16 features: near the float32 result, and float32 wherever that matters."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from generator_helpers import load_pair, tensor, tiny

from vesselforge.generator.networks import Discriminator, Generator
from vesselforge.generator.networks.layers import reduced_resolutions
from vesselforge.generator.training.adversarial import AdversarialLoss
from vesselforge.generator.training.trainer import Trainer

NET = "net_a_uncond32"
BF16 = torch.bfloat16


def rms(error, reference):
    return (error.std() / reference.std()).item()


def gradients(network):
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def test_images_are_near_those_of_float32():
    torch.manual_seed(0)
    g = Generator(64, 0, 64, 128, 3, {"num_layers": 2}, {"channel_base": 1024, "channel_max": 64})
    z = torch.randn(2, 64)
    with torch.no_grad():
        exact, near = g(z, noise_mode="const"), g(z, noise_mode="const", dtype=BF16)
    assert near.dtype == torch.float32
    assert not torch.equal(near, exact)
    assert rms(near - exact, exact) < 8e-3  # measured 6.3e-3 with the published casts


def test_the_four_highest_resolutions_are_reduced():
    assert reduced_resolutions(256) == [32, 64, 128, 256]
    assert reduced_resolutions(16) == [8, 16]
    g, d = load_pair()
    seen = {}
    for name, block in [*g.synthesis.named_children(), *d.named_children()]:
        block.register_forward_hook(
            lambda module, inputs, output, name=name: seen.setdefault(name, []).append(output)
        )
    images = g(tensor(NET, "in/z")[:2], noise_mode="const", dtype=BF16)
    d(images, dtype=BF16)
    assert {r: seen[f"b{r}"][0][0].dtype for r in (4, 8, 32)} == {
        4: torch.float32, 8: BF16, 32: BF16,
    }  # fmt: skip
    assert seen["b32"][0][1].dtype == torch.float32  # the image
    assert [seen[f"b{r}"][1][0].dtype for r in (32, 8)] == [BF16, BF16]
    assert seen["b4"][1].dtype == torch.float32  # the logits


@pytest.mark.parametrize("phase", ["generator", "discriminator"])
def test_gradients_point_the_same_way(phase):
    found = []
    for dtype in (None, BF16):
        g, d = load_pair()
        loss = AdversarialLoss(
            g.train(), d.train(), style_mixing=0, noise_mode="const", dtype=dtype
        )
        z = tensor(NET, "in/z")
        if phase == "generator":
            loss.generator_main(z)
            found.append(gradients(g))
        else:
            loss.discriminator_main(tensor(NET, "in/D_img")[: len(z)], z)
            found.append(gradients(d))
    assert found[1].dtype == torch.float32
    assert not torch.equal(found[0], found[1])
    assert F.cosine_similarity(found[0].double(), found[1].double(), dim=0) > 0.99


def test_penalties_stay_in_float32():
    found = []
    for dtype in (None, BF16):
        g, d = load_pair()
        loss = AdversarialLoss(
            g.train(), d.train(), style_mixing=0, noise_mode="const", dtype=dtype
        )
        r1 = loss.discriminator_regularise(tensor(NET, "in/D_img"))
        torch.manual_seed(0)
        path = loss.generator_regularise(tensor(NET, "in/z").float())
        found.append((r1["r1_penalty"], path["path_length"], gradients(g), gradients(d)))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def trained(**changes):
    cfg = tiny(**changes)
    torch.manual_seed(1)
    options = {"channel_base": cfg.channel_base, "channel_max": cfg.channel_max}
    g = Generator(8, 0, 8, 16, 3, {"num_layers": 1}, options)
    d = Discriminator(0, 16, 3, **options)
    trainer = Trainer(cfg, g, d)
    real = torch.rand(4, 3, 16, 16) * 2 - 1
    for _ in range(3):
        trainer.advance(real)
    return trainer


def test_the_setting_reaches_the_training():
    exact, low = trained(), trained(precision="bfloat16")
    for name, value in low.tensors().items():
        assert value.dtype in (torch.float32, torch.float64), name
    a, b = (next(t.discriminator.parameters()).detach() for t in (exact, low))
    assert not torch.equal(a, b)
    assert F.cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.999
