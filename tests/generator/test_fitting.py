"""Networks fitted to other images: mapped channels keep the function, what does not fit is new."""

from __future__ import annotations

import itertools

import pytest
import torch
from generator_helpers import assert_close

from vesselforge.generator.networks import Discriminator, Generator
from vesselforge.generator.transfer.start import (
    LOADED,
    MAPPED,
    NEW,
    UNUSED,
    channel_matrix,
    fit,
    in_words,
    rows_of,
)

G = {
    "z_dim": 8, "c_dim": 0, "w_dim": 8, "img_resolution": 16, "img_channels": 3,
    "mapping_kwargs": {"num_layers": 2},
    "synthesis_kwargs": {"channel_base": 256, "channel_max": 16},
}  # fmt: skip
D = {
    "c_dim": 0, "img_resolution": 16, "img_channels": 3, "channel_base": 256, "channel_max": 16,
}  # fmt: skip


def made(kind, **changes):
    """A network with biases that are not zero, as after training."""
    kwargs = {**(G if kind is Generator else D), **changes}
    torch.manual_seed(0)
    network = kind(**kwargs)
    for name, tensor in network.state_dict().items():
        if name.endswith("bias"):
            tensor.add_(0.3 * torch.randn_like(tensor))
    return network.eval().requires_grad_(False), kwargs


def fitted(network, kwargs, **changes):
    """The network fitted to changed arguments, and its tensors by what became of them."""
    kind, aim = type(network), {**kwargs, **changes}
    new, names = fit(kind, network.state_dict(), kwargs["img_channels"], aim, seed=5)
    return new.eval().requires_grad_(False), names


def picture(network):
    z = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    return network(z, None, noise_mode="const")


PAIRS = [pair for pair in itertools.product((1, 3, 4), repeat=2) if pair[0] != pair[1]]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_the_image_in_other_channels(old, new):
    network, kwargs = made(Generator, img_channels=old)
    other, names = fitted(network, kwargs, img_channels=new)
    wanted = torch.einsum("mn,bnhw->bmhw", channel_matrix(old, new), picture(network))
    assert_close(picture(other), wanted, 1e-5)
    assert all(".torgb." in name for name in names[MAPPED])
    assert not names[NEW] and not names[UNUSED]


@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_logits_of_the_image_in_other_channels(old, new):
    network, kwargs = made(Discriminator, img_channels=old)
    other, names = fitted(network, kwargs, img_channels=new)
    seen = torch.randn(4, new, 16, 16)
    as_before = torch.einsum("mn,bnhw->bmhw", channel_matrix(new, old), seen)
    assert_close(other(seen), network(as_before), 1e-5)
    assert names[MAPPED] == ["b16.fromrgb.weight"]


def test_a_larger_generator_shows_the_image_enlarged():
    network, kwargs = made(Generator)
    other, names = fitted(network, kwargs, img_resolution=32)
    means = torch.nn.functional.avg_pool2d(picture(other), 2)
    assert (means - picture(network)).abs().mean() < 0.2 * picture(network).std()
    assert all(name.startswith("synthesis.b32.") for name in names[NEW])
    assert not names[UNUSED]


@pytest.mark.parametrize("resolution", [8, 32])
def test_other_resolutions_keep_the_blocks_in_common(resolution):
    for kind in (Generator, Discriminator):
        network, kwargs = made(kind)
        other, names = fitted(network, kwargs, img_resolution=resolution)
        state = other.state_dict()
        assert "b8.conv1.weight" in " ".join(names[LOADED])
        for name in names[LOADED]:
            assert torch.equal(state[name], network.state_dict()[name])
        assert set(names[LOADED]) | set(names[NEW]) == state.keys()


def test_labels_start_anew():
    network, kwargs = made(Generator)
    _, names = fitted(network, kwargs, c_dim=4)
    assert set(names[NEW]) == {
        "mapping.embed.weight", "mapping.embed.bias", "mapping.fc0.weight",
    }  # fmt: skip


def test_the_same_seed_makes_the_same_new_tensors():
    network, kwargs = made(Generator)
    one, two = (fitted(network, kwargs, img_resolution=32)[0].state_dict() for _ in range(2))
    assert all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def test_the_table():
    names = {LOADED: ["a", "b"], MAPPED: [], NEW: [f"n{i}" for i in range(6)], UNUSED: ["gone"]}
    rows = rows_of("D", names)
    assert [in_words(row) for row in rows] == [
        "D: 2 tensors loaded", "D: 6 tensors new: n0, n1, n2, n3, …", "D: 1 tensors unused: gone",
    ]  # fmt: skip
    assert rows[0] == {"network": "D", "what": "loaded", "count": 2}
    assert rows[1]["names"] == names[NEW]
