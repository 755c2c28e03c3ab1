"""Adapters keep the function of a network: same pictures, same logits, seen through the change."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from generator_helpers import assert_close

from vesselforge.configs.errors import CheckpointError
from vesselforge.generator.networks import Discriminator, Generator
from vesselforge.generator.networks.fir import downsample2d, upsample2d
from vesselforge.generator.networks.ops import normalize_2nd_moment
from vesselforge.generator.transfer.adapters import adapt, channel_matrix
from vesselforge.generator.transfer.drafts import ADAPTED, NEW, UNUSED, Draft

G = {
    "z_dim": 8, "c_dim": 0, "w_dim": 8, "img_resolution": 16, "img_channels": 3,
    "mapping_kwargs": {"num_layers": 2},
    "synthesis_kwargs": {"channel_base": 256, "channel_max": 16, "conv_clamp": 256},
}  # fmt: skip
D = {
    "c_dim": 0, "img_resolution": 16, "img_channels": 3, "channel_base": 256, "channel_max": 16,
    "mapping_kwargs": {"num_layers": 2}, "conv_clamp": 256,
}  # fmt: skip


def made(kind, **changes):
    """A network with biases, noise strengths and a mean w that are not zero, as after training."""
    kwargs = copy.deepcopy(G if kind is Generator else D)
    style = changes.pop("architecture", None)
    if style is not None:
        kwargs.get("synthesis_kwargs", kwargs)["architecture"] = style
    kwargs |= changes
    torch.manual_seed(0)
    network = kind(**kwargs)
    for name, tensor in network.state_dict().items():
        if name.endswith(("bias", "noise_strength", "w_avg")):
            scale = 30.0 if "mapping.fc" in name else 0.3
            tensor.add_(scale * torch.randn_like(tensor))
    return network.eval().requires_grad_(False), kwargs


def adapted(network, kwargs, **changes):
    """The network fitted to changed arguments, and the fate of its tensors."""
    kind = type(network)
    draft = Draft(kind, kwargs, {k: t.clone() for k, t in network.state_dict().items()}, seed=5)
    aim = {**kwargs, **changes}
    adapt(draft, aim)
    new = kind(**aim)
    new.load_state_dict(draft.tensors, strict=True)
    for name, tensor in draft.tensors.items():  # what is not noted is as it was
        if name not in draft.fates:
            assert torch.equal(tensor, network.state_dict()[name]), name
    assert {what for what, _ in draft.fates.values()} <= {ADAPTED, NEW, UNUSED}
    return new.eval().requires_grad_(False), draft.fates


def picture(network, c=None, count=3):
    z = torch.randn(count, 8, generator=torch.Generator().manual_seed(1))
    return network(z, c, noise_mode="const")


def views(channels=3, side=16, count=4):
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(2))


def labels(c_dim, count):
    return torch.eye(c_dim)[torch.arange(count) % c_dim]


# Channels


@pytest.mark.parametrize(
    ("old", "new", "matrix"),
    [
        (3, 1, [[1 / 3, 1 / 3, 1 / 3]]),
        (1, 3, [[1], [1], [1]]),
        (3, 4, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]),
        (4, 3, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]),
        (1, 4, [[1], [1], [1], [0]]),
        (4, 1, [[1 / 3, 1 / 3, 1 / 3, 0]]),
        (2, 4, [[1, 0], [1, 0], [1, 0], [0, 1]]),
        (2, 3, [[1, 0], [1, 0], [1, 0]]),
    ],
)
def test_what_becomes_of_channels(old, new, matrix):
    assert torch.equal(channel_matrix(old, new), torch.tensor(matrix, dtype=torch.float32))


PAIRS = [pair for pair in itertools.product((1, 3, 4), repeat=2) if pair[0] != pair[1]]


@pytest.mark.parametrize(("old", "new"), PAIRS)
@pytest.mark.parametrize("style", ["skip", "resnet"])
def test_the_image_in_other_channels(old, new, style):
    network, kwargs = made(Generator, img_channels=old, architecture=style)
    other, fates = adapted(network, kwargs, img_channels=new)
    before = picture(network)
    wanted = torch.einsum("mn,bnhw->bmhw", channel_matrix(old, new), before)
    assert_close(picture(other), wanted, 1e-5)
    if (old, new) == (1, 3):
        assert_close(picture(other), before.expand(-1, 3, -1, -1), 1e-5)
    assert {what for what, _ in fates.values()} == {ADAPTED}
    assert all(".torgb." in name for name in fates)


@pytest.mark.parametrize(("old", "new"), PAIRS)
@pytest.mark.parametrize("style", ["skip", "resnet", "orig"])
def test_logits_of_the_image_in_other_channels(old, new, style):
    network, kwargs = made(Discriminator, img_channels=old, architecture=style)
    other, fates = adapted(network, kwargs, img_channels=new)
    seen = views(new)
    as_before = torch.einsum("mn,bnhw->bmhw", channel_matrix(new, old), seen)
    assert_close(other(seen), network(as_before), 1e-5)
    assert len(fates) == (3 if style == "skip" else 1)


# Labels


def test_every_label_shows_the_pictures_of_the_unconditional_generator():
    network, kwargs = made(Generator)
    other, fates = adapted(network, kwargs, c_dim=4)
    for c in (*torch.eye(4), torch.tensor([0.2, -1, 3, 0])):
        assert_close(picture(other, c.expand(3, -1)), picture(network), 1e-5)
    assert fates["mapping.embed.weight"] == (NEW, "random")
    other.requires_grad_(True)
    picture(other, torch.eye(4)[:3]).square().sum().backward()
    assert other.mapping.fc0.weight.grad[:, 8:].abs().min() > 0  # the label can be learnt


def test_every_label_is_judged_as_by_the_unconditional_discriminator():
    network, kwargs = made(Discriminator)
    other, _ = adapted(network, kwargs, c_dim=4)
    seen = views()
    for c in (labels(4, 4), torch.randn(4, 4)):
        assert_close(other(seen, c), network(seen), 1e-5)
    other.requires_grad_(True)
    other(seen, labels(4, 4)).sum().backward()
    grad = other.mapping.fc1.weight.grad
    assert grad.std(dim=0).min() > 0  # its outputs do not all learn alike
    assert other.b4.out.weight.std(dim=0).min() > 0


def test_pictures_without_labels_are_those_of_the_mean_label():
    network, kwargs = made(Generator, c_dim=4)
    other, fates = adapted(network, kwargs, c_dim=0)
    embedded = normalize_2nd_moment(network.mapping.embed(torch.eye(4))).mean(dim=0)
    z = torch.randn(3, 8)
    x = torch.cat([normalize_2nd_moment(z), embedded.expand(3, -1)], dim=1)
    w = network.mapping.fc1(network.mapping.fc0(x))
    assert_close(other.mapping(z)[:, 0], w, 1e-5)
    assert fates["mapping.embed.weight"][0] == UNUSED
    assert picture(other).shape == (3, 3, 16, 16)


def test_logits_without_labels_are_the_mean_over_labels():
    network, kwargs = made(Discriminator, c_dim=4)
    other, fates = adapted(network, kwargs, c_dim=0)
    seen = views()
    mean = torch.stack([network(seen, c.expand(4, -1)) for c in torch.eye(4)]).mean(dim=0)
    assert_close(other(seen), mean, 1e-5)
    assert fates["mapping.fc1.bias"][0] == UNUSED


@pytest.mark.parametrize(("old", "new"), [(3, 5), (5, 2)])
@pytest.mark.parametrize("kind", [Generator, Discriminator])
def test_classes_in_common_stay_what_they_were(kind, old, new):
    network, kwargs = made(kind, c_dim=old)
    other, fates = adapted(network, kwargs, c_dim=new)
    assert list(fates) == ["mapping.embed.weight"]
    common = min(old, new)
    here, there = (torch.eye(n)[torch.arange(4) % common] for n in (old, new))
    if kind is Generator:
        assert_close(picture(other, there, 4), picture(network, here, 4), 1e-5)
    else:
        assert_close(other(views(), there), network(views(), here), 1e-5)


# Resolution


@pytest.mark.parametrize("side", [32, 64])
def test_a_grown_generator_shows_the_old_image_upsampled(side):
    network, kwargs = made(Generator)
    other, fates = adapted(network, kwargs, img_resolution=side)
    wanted = picture(network)
    for _ in range(side // 16 // 2):
        wanted = upsample2d(wanted, other.synthesis.b4.resample_filter)
    assert_close(picture(other), wanted, 1e-5)
    assert all(what == NEW for what, _ in fates.values())
    assert {int(name.split(".")[1][1:]) for name in fates} == {r for r in (32, 64) if r <= side}
    other.requires_grad_(True)
    picture(other).square().sum().backward()
    assert other.synthesis.b32.torgb.weight.grad.abs().max() > 0


def test_a_shrunk_generator_shows_the_coarse_image():
    network, kwargs = made(Generator, img_resolution=32)
    other, fates = adapted(network, kwargs, img_resolution=16)
    x = img = None
    ws = network.mapping(torch.randn(3, 8, generator=torch.Generator().manual_seed(1)))
    for i, res in enumerate((4, 8, 16)):
        block = getattr(network.synthesis, f"b{res}")
        first = 2 * i - 1 if i else 0
        x, img = block(x, img, ws[:, first : first + block.num_conv + 1], noise_mode="const")
    assert_close(picture(other), img, 1e-5)
    assert {(what, how) for what, how in fates.values()} == {(UNUSED, "block above 16 x 16")}


@pytest.mark.parametrize("style", ["resnet", "skip", "orig"])
@pytest.mark.parametrize("side", [32, 64])
def test_a_grown_discriminator_judges_the_downsampled_image(style, side):
    network, kwargs = made(Discriminator, architecture=style, channel_base=1024)
    other, fates = adapted(network, kwargs, img_resolution=side)
    seen = views(side=side)
    small = seen
    for _ in range(side // 16 // 2):
        small = downsample2d(small, other.b8.resample_filter)
    assert_close(other(seen), network(small), 1e-4)
    assert all(what in (NEW, UNUSED) for what, _ in fates.values())
    other.requires_grad_(True)
    other(seen).sum().backward()
    assert other.b32.conv1.weight.grad.abs().min() > 0


def test_too_narrow_a_new_block_starts_at_random():
    network, kwargs = made(Discriminator, channel_base=64, channel_max=16)  # 2 channels at 32
    other, fates = adapted(network, kwargs, img_resolution=32)
    assert "too narrow" in fates["b16.fromrgb.weight"][1]
    assert fates["b32.conv1.weight"] == (NEW, "random")
    assert other(views(side=32)).isfinite().all()


@pytest.mark.parametrize("style", ["resnet", "orig"])
def test_grown_and_shrunk_again_is_the_old_discriminator(style):
    network, kwargs = made(Discriminator, architecture=style)
    grown, _ = adapted(network, kwargs, img_resolution=32)
    other, fates = adapted(grown, {**kwargs, "img_resolution": 32}, img_resolution=16)
    assert_close(other(views()), network(views()), 1e-3)
    assert "flat colours" in fates["b16.fromrgb.weight"][1]


def test_a_shrunk_discriminator_answers_colours_as_before():
    """The first layer cannot be what whole blocks were, but it is far nearer than a random one."""
    network, kwargs = made(Discriminator, img_resolution=32)
    other, _ = adapted(network, kwargs, img_resolution=16)
    colours = torch.rand(40, 3, 1, 1, generator=torch.Generator().manual_seed(3)) * 2 - 1
    wanted = network.b32(None, colours.expand(-1, -1, 16, 16))[0][:, :, 4, 4]
    found = other.b16.fromrgb(colours)[:, :, 0, 0]
    random = made(Discriminator)[0].b16.fromrgb(colours)[:, :, 0, 0]
    spread = (wanted - wanted.mean(dim=0)).square().mean()
    assert (found - wanted).square().mean() < 0.3 * spread
    assert (random - wanted).square().mean() > spread


@pytest.mark.parametrize("kind", [Generator, Discriminator])
@pytest.mark.parametrize("style", ["skip", "resnet", "orig"])
def test_everything_at_once(kind, style):
    network, kwargs = made(kind, architecture=style)
    changes = {"img_resolution": 32, "img_channels": 4, "c_dim": 3}
    other, fates = adapted(network, kwargs, **changes)
    back, _ = adapted(other, kwargs | changes, img_resolution=8, img_channels=1, c_dim=0)
    assert len(fates) > 3
    if kind is Generator:
        assert picture(other, labels(3, 3)).shape == (3, 4, 32, 32)
        assert picture(back).shape == (3, 1, 8, 8)
    else:
        assert other(views(4, 32), labels(3, 4)).shape == back(views(1, 8)).shape == (4, 1)


def test_new_tensors_are_equal_in_the_generator_and_its_average():
    network, kwargs = made(Generator)
    one, two = (adapted(network, kwargs, img_resolution=32)[0].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_other_activations_are_refused():
    network, kwargs = made(Discriminator, block_kwargs={"activation": "relu"})
    with pytest.raises(CheckpointError, match="'relu' is not supported"):
        adapted(network, kwargs, img_resolution=32)
    adapted(network, kwargs)
