"""Generator and discriminator against numbers of the published code, and what they promise."""

from __future__ import annotations

import pytest
import torch
from generator_helpers import assert_close, load_pair, parity, tensor

from vesselforge.generator.networks import Discriminator, Generator, count_parameters

NET = "net_a_uncond32"


@pytest.fixture(scope="module")
def pair():
    return load_pair()


def test_mapping_and_truncation(pair):
    mapping, z = pair[0].mapping, tensor(NET, "in/z")
    assert_close(mapping(z)[:, 0], tensor(NET, "out/ws_psi1"), 1e-5)
    assert_close(mapping(z, truncation_psi=0.7), tensor(NET, "out/ws_psi07"), 1e-5)
    cut = mapping(z, truncation_psi=0.5, truncation_cutoff=3)
    assert_close(cut, tensor(NET, "out/ws_psi05_cutoff3"), 1e-5)


def test_psi_zero_is_the_mean(pair):
    g, z = pair[0], tensor(NET, "in/z")
    images = g(z, truncation_psi=0, noise_mode="const")
    mean = g.synthesis(g.mapping.w_avg.expand(1, g.num_ws, -1), noise_mode="const")
    assert_close(images, mean.expand_as(images), 1e-6)


def test_w_avg_moves_in_training_only():
    g, _ = load_pair()
    before = g.mapping.w_avg.clone()
    g.mapping(tensor(NET, "in/z"))
    g.train().mapping(tensor(NET, "in/z"), skip_w_avg_update=True)
    assert torch.equal(g.mapping.w_avg, before)
    g.mapping(tensor(NET, "in/z"))
    assert_close(g.mapping.w_avg, tensor(NET, "out/w_avg_after_one_update"), 1e-5)


@pytest.mark.parametrize("noise", ["const", "none"])
def test_images(pair, noise):
    g, z = pair[0], tensor(NET, "in/z")
    options = {"noise_mode": noise}
    assert_close(g(z, **options), tensor(NET, f"out/img_psi1_{noise}"), 1e-5)
    near = g(z, truncation_psi=0.7, **options)
    assert_close(near, tensor(NET, f"out/img_psi07_{noise}"), 1e-5)
    free = g.synthesis(tensor(NET, "in/ws_free"), **options)
    assert_close(free, tensor(NET, f"out/img_free_{noise}"), 1e-5)


def test_images_in_training_mode():
    g, _ = load_pair()
    image = g.train()(tensor(NET, "in/z"), noise_mode="const")
    assert_close(image, tensor(NET, "out/img_psi1_const_unfused"), 1e-5)


def test_each_block(pair):
    g, d = pair
    seen = {}

    def remember(name):
        return lambda module, inputs, output: seen.__setitem__(name, output)

    blocks = {f"block{r}": getattr(g.synthesis, f"b{r}") for r in (4, 8, 16, 32)}
    blocks |= {f"D_block{r}": getattr(d, f"b{r}") for r in (32, 16, 8)}
    hooks = [block.register_forward_hook(remember(name)) for name, block in blocks.items()]
    g(tensor(NET, "in/z")[:2], noise_mode="const")
    d(tensor(NET, "in/D_img")[:2])
    for hook in hooks:
        hook.remove()
    for name, (x, image) in seen.items():
        assert_close(x, tensor(NET, f"out/{name}_x"), 1e-5)
        if f"out/{name}_img" in parity(NET):
            assert_close(image, tensor(NET, f"out/{name}_img"), 1e-5)


@pytest.mark.parametrize("n", [8, 4, 2, 1])
def test_logits(pair, n):
    logits = pair[1](tensor(NET, "in/D_img")[:n])
    assert_close(logits, tensor(NET, f"out/D_logits_batch{n}"), 1e-5)


@pytest.mark.parametrize("name", ["skip_resnet", "resnet_orig", "orig_skip"])
def test_architectures(name):
    file = "net_architectures16"
    g, d = load_pair(file, f"{name}/")
    images = g(tensor(file, f"{name}/in/z"), noise_mode="const")
    assert_close(images, tensor(file, f"{name}/out/img_psi1_const"), 1e-5)
    logits = d(tensor(file, f"{name}/in/D_img"))
    assert_close(logits, tensor(file, f"{name}/out/D_logits"), 1e-5)


def test_state_dict_layout():
    g = Generator(64, 0, 64, 32, 3, synthesis_kwargs={"channel_base": 1024, "channel_max": 64})
    d = Discriminator(0, 32, 3, channel_base=1024, channel_max=64)
    assert len(g.state_dict()) == 87
    assert count_parameters(g) == 288_947
    assert sum(b.numel() for b in g.buffers()) == 2_944
    assert len(d.state_dict()) == 37
    assert count_parameters(d) == 288_993
    assert sum(b.numel() for b in d.buffers()) == 224
    keys = list(g.state_dict())
    assert keys[:6] == [
        "synthesis.b4.const",
        "synthesis.b4.resample_filter",
        "synthesis.b4.conv1.weight",
        "synthesis.b4.conv1.noise_strength",
        "synthesis.b4.conv1.bias",
        "synthesis.b4.conv1.resample_filter",
    ]
    assert keys[-17:-15] == ["mapping.w_avg", "mapping.fc0.weight"]


@pytest.mark.parametrize("r", [32, 256])
def test_published_parameter_counts(r):
    with torch.device("meta"):
        options = {"channel_base": 16384}
        g = Generator(512, 0, 512, r, 3, {"num_layers": 2}, options)
        d = Discriminator(0, r, 3, channel_base=16384)
        orig = Discriminator(0, r, 3, architecture="orig", channel_base=16384)
    counts = {32: (19_947_539, 21_507_073, 20_720_641), 256: (23_191_522, 24_001_089, 23_042_625)}
    assert (count_parameters(g), count_parameters(d), count_parameters(orig)) == counts[r]
    assert g.num_ws == {32: 8, 256: 14}[r]


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_conditional_networks_of_any_depth(architecture, channels):
    torch.manual_seed(0)
    small = {"channel_base": 128, "channel_max": 8, "architecture": architecture}
    g = Generator(8, 3, 8, 16, channels, {"num_layers": 2}, {**small, "num_fp16_res": 2})
    d = Discriminator(3, 16, channels, conv_clamp=256, **small)
    assert "mapping.embed.weight" in g.state_dict()
    assert "mapping.w_avg" not in d.state_dict()
    z, c = torch.randn(4, 8), torch.eye(3)[[0, 1, 2, 0]]
    images = g(z, c)
    logits = d(images, c)
    assert images.shape == (4, channels, 16, 16)
    assert logits.shape == (4, 1)
    logits.sum().backward()
    assert all(p.grad is not None for p in g.mapping.parameters())
    assert not torch.equal(d(images, c), d(images, c.roll(1, 0)))
    with pytest.raises(ValueError, match="conditional"):
        g(z)


def test_wrong_resolution_is_named():
    with pytest.raises(ValueError, match=r"power of two .* not 48"):
        Generator(8, 0, 8, 48, 3)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_prepared_weights_follow_the_weights(dtype):
    """An evaluated network keeps prepared weights; every way to change them makes new ones."""
    g, _ = load_pair()
    state = {name: value.clone() for name, value in g.state_dict().items()}
    z = tensor(NET, "in/z")[:1]

    def image():
        with torch.no_grad():
            return g(z, noise_mode="const", dtype=dtype)

    first = image()
    kept = g.synthesis.b8.conv0._kept
    assert torch.equal(image(), first)
    assert g.synthesis.b8.conv0._kept is kept
    assert_close(g(z, noise_mode="const", dtype=dtype), first, 1e-2 if dtype else 1e-6)
    with torch.no_grad():
        g.synthesis.b8.conv0.weight.mul_(-1)
    second = image()
    assert not torch.equal(second, first)
    g.load_state_dict(state)
    assert torch.equal(image(), first)
    g.synthesis.b8.conv0.weight = torch.nn.Parameter(-state["synthesis.b8.conv0.weight"])
    assert torch.equal(image(), second)
    assert list(g.state_dict()) == list(state)
