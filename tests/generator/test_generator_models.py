"""From settings to networks: every architectural setting arrives, Freeze-D freezes what it says."""

from __future__ import annotations

import pytest
import torch
from generator_helpers import tiny

from vesselforge.generator.networks import Discriminator, Generator
from vesselforge.generator.trained import network_kwargs


def build(c_dim=0, style=None, **changes):
    kwargs_g, kwargs_d = network_kwargs(tiny(**changes), c_dim)
    kwargs_d |= {} if style is None else {"architecture": style}
    return Generator(**kwargs_g), Discriminator(**kwargs_d)


def test_every_architectural_setting_arrives():
    g, d = build(c_dim=5, labels=True, conv_clamp=256.0, freeze_d=2)
    assert g.synthesis.b16.architecture == "skip"
    assert d.b16.architecture == d.b4.architecture == "resnet"
    clamps = {m.conv_clamp for n in (g, d) for m in n.modules() if hasattr(m, "conv_clamp")}
    assert clamps == {256.0, None}  # the shortcuts are never clamped
    assert g.synthesis.b8.conv1.conv_clamp == d.b8.conv1.conv_clamp == 256
    assert g.c_dim == d.c_dim == g.mapping.c_dim == d.mapping.c_dim == 5
    assert d.mapping.num_layers == 8
    labels = torch.eye(5)[:2]
    image = g(torch.randn(2, 8), labels)
    assert image.shape == (2, 3, 16, 16)
    assert d(image, labels).shape == (2, 1)


@pytest.mark.parametrize(("setting", "count"), [("rgb", 3), ("grey", 1), ("rgb+mask", 4)])
def test_image_channels(setting, count):
    for kwargs in network_kwargs(tiny(channels=setting)):
        assert kwargs["img_channels"] == count


def test_labels_are_used_only_when_asked_for():
    assert [kwargs["c_dim"] for kwargs in network_kwargs(tiny(), 4)] == [0, 0]


RESNET = [
    "b16.fromrgb", "b16.conv0", "b16.conv1", "b16.skip", "b8.conv0", "b8.conv1", "b8.skip",
]  # fmt: skip
ORIG = ["b16.fromrgb", "b16.conv0", "b16.conv1", "b8.conv0", "b8.conv1"]
SKIP = [
    "b16.fromrgb", "b16.conv0", "b16.conv1", "b8.fromrgb", "b8.conv0", "b8.conv1",
]  # fmt: skip


@pytest.mark.parametrize(("style", "order"), [("resnet", RESNET), ("orig", ORIG), ("skip", SKIP)])
@pytest.mark.parametrize("count", [0, 1, 4, 5, 64])
def test_freeze_d_counts_from_the_image(style, order, count):
    free = build(style=style)[1]
    frozen = build(style=style, freeze_d=count)[1]
    assert frozen.state_dict().keys() == free.state_dict().keys()
    frozen.load_state_dict(free.state_dict(), strict=True)
    trained = {name.rpartition(".")[0] for name, _ in frozen.named_parameters()}
    everything = {name.rpartition(".")[0] for name, _ in free.named_parameters()}
    assert everything - trained == set(order[:count])
    image = torch.randn(4, 3, 16, 16, requires_grad=True)
    assert torch.equal(frozen(image), free(image))
    frozen(image).sum().backward()
    assert image.grad.abs().sum() > 0
