"""SA2-Net against the count sheet and against its formulae, written down a second time."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from network_checks import count, images, shaken, without_gradient
from torch import Tensor, nn

from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.sa2_net import (
    AttentiveGate,
    LocalScaleAttention,
    Mixer,
    PixelNorm,
    SA2Net,
)


@pytest.fixture(scope="module")
def full() -> SA2Net:
    network = build("sa2-net")
    assert isinstance(network, SA2Net)
    return network


@pytest.fixture
def small() -> SA2Net:
    torch.manual_seed(0)
    network = build("sa2-net", width=4)
    assert isinstance(network, SA2Net)
    return network


def test_counts_are_those_of_the_sheet_without_dead_weights(full: SA2Net) -> None:
    assert count(full) == 32_484_308 - 13_187_712 == 19_296_596
    assert count(full.stem) == 1_920
    assert [count(m) for m in full.down] == [221_952, 886_272, 3_542_016, 4_721_664]
    assert [count(m) for m in full.narrow] == [73_792, 147_520, 294_976]
    assert count(full.deepest) == 2_359_808
    ups = [7_355_907 - 2_884_608, 1_859_331 - 721_408, 475_011 - 180_480, 170_115 - 45_184]
    assert [count(m) for m in full.up] == ups
    assert [count(m.conv) for m in full.up] == [1_771_008, 443_136, 110_976, 74_112]
    assert [count(m) for m in full.head] == [65, 65, 129, 257]


def test_counts_of_the_bottleneck(full: SA2Net) -> None:
    bottleneck = full.attention
    assert count(bottleneck) == 1_053_316 - 35_840
    for m in bottleneck.local:
        assert [count(part) for part in m.children()] == [16_640, 2_560, 6_656, 16_448]
    for m in bottleneck.mix:
        assert sorted(count(part) for part in m.children()) == sorted([128, 16_640, 640, 16_448])
    parts = [count(m) for m in (bottleneck.fuse, bottleneck.norm, bottleneck.query)]
    assert parts == [156_740, 512, 1_664]
    assert [count(m) for m in bottleneck.widen] == [36_928, 73_856, 147_712, 295_424]


def test_pytorch_defaults_throughout(full: SA2Net) -> None:
    for module in full.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-5, 0.1)
        if isinstance(module, PixelNorm):
            assert module.eps == 1e-6
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            bound = module.weight[0].numel() ** -0.5  # uniform in ±1/√fan_in, biases too
            assert module.weight.abs().max() <= bound + 1e-7
            if module.weight.numel() > 10_000:
                assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


# The formulae once more, from weights alone.


def conv(x: Tensor, m: nn.Conv2d) -> Tensor:
    """Same-size convolution; channel by channel where the weights are depth-wise."""
    pad = m.weight.shape[-1] // 2
    if m.weight.shape[1] == 1 and m.weight.shape[0] == x.shape[1] > 1:
        pairs = zip(x.split(1, 1), m.weight.split(1), strict=True)
        x = torch.cat([F.conv2d(plane, kernel, padding=pad) for plane, kernel in pairs], 1)
        return x + m.bias[:, None, None]
    return F.conv2d(x, m.weight, m.bias, padding=pad)


def batch_norm(x: Tensor, m: nn.BatchNorm2d) -> Tensor:
    scale = m.weight / (m.running_var + 1e-5).sqrt()
    return (x - m.running_mean[:, None, None]) * scale[:, None, None] + m.bias[:, None, None]


def pixel_norm(x: Tensor, m: nn.LayerNorm) -> Tensor:
    mean = x.mean(1, keepdim=True)
    spread = ((x - mean) ** 2).mean(1, keepdim=True)
    return (x - mean) / (spread + 1e-6).sqrt() * m.weight[:, None, None] + m.bias[:, None, None]


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def units(x: Tensor, m: nn.Sequential) -> Tensor:
    for unit in m if isinstance(m[0], nn.Sequential) else [m]:
        x = batch_norm(conv(x, unit[0]), unit[1]).clamp(min=0)
    return x


def local_attention(x: Tensor, m: LocalScaleAttention) -> Tensor:
    x = conv(x, m.expand)
    half = x.shape[1] // 2
    a3, a5 = conv(x, m.near).clamp(min=0), conv(x, m.far).clamp(min=0)
    x1 = a3[:, :half] / (1 + torch.exp(-a5[:, :half]))
    x2 = a3[:, half:] / (1 + torch.exp(-a5[:, half:]))
    return conv(torch.cat([x1, x2], 1), m.project)


def mixer(x: Tensor, m: Mixer) -> Tensor:
    n = pixel_norm(x, m.norm)
    t = n + gelu(conv(n, m.look))
    return conv(gelu(conv(t, m.expand)), m.project) + x


def gate(g: Tensor, x: Tensor, m: AttentiveGate) -> Tensor:
    g1 = conv(gelu(conv(pixel_norm(g, m.norm), m.mix)), m.wide)
    x1 = conv(x, m.near)
    psi = batch_norm(conv(gelu(torch.cat([g1, x1], 1)), m.weigh[0]), m.weigh[1])
    return conv(x1 / (1 + torch.exp(-psi)), m.project) + x


def resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)


def published(net: SA2Net, x: Tensor) -> list[Tensor]:
    """The forward pass as the sheet lists it: resizing to sizes, heads on resized features."""
    x1 = units(x, net.stem)
    x2, x3, x4, x5 = (x1,) * 4
    x2 = units(F.max_pool2d(x1, 2), net.down[0])
    x3 = units(F.max_pool2d(x2, 2), net.down[1])
    x4 = units(F.max_pool2d(x3, 2), net.down[2])
    x5 = conv(units(F.max_pool2d(x4, 2), net.down[3]), net.deepest)
    skips = [x1, *(conv(f, m) for f, m in zip((x2, x3, x4), net.narrow, strict=True))]
    sa = net.attention
    a = [local_attention(resized(f, x3), m) for f, m in zip(skips, sa.local, strict=True)]
    fused = gelu(conv(batch_norm(torch.cat(a, 1), sa.norm), sa.fuse))
    channels = fused.shape[1] - 4
    query = gelu(conv(fused[:, :channels], sa.query))
    wide = []
    for i, skip in enumerate(skips):
        b = a[i] * fused[:, channels + i : channels + i + 1] * query
        wide.append(conv(mixer(resized(b, skip) + skip, sa.mix[i]), sa.widen[i]))
    u4, levels = x5, []
    for up, skip in zip(net.up, reversed(wide), strict=True):
        doubled = u4.repeat_interleave(2, -1).repeat_interleave(2, -2)
        u4 = units(gate(doubled, skip, up.gate), up.conv)
        levels.append(u4)
    return [conv(resized(f, x), m) for f, m in zip(reversed(levels), net.head, strict=True)]


def test_every_head_equals_the_published_formulae(small: SA2Net) -> None:
    net, x = shaken(small), images(2, 3, 48, 80)
    with torch.no_grad():
        found, expected = net.outputs(x), published(small, x)
    assert len(found) == 4
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)
        assert theirs.std() > 1e-3, "a constant map would prove nothing"


def test_gates_are_not_bounded_by_one(small: SA2Net) -> None:
    """They leave a GELU: scaling the fused map's last four channels up scales what they pass."""
    skips = [images(1, 4, 32 // k, 32 // k, seed=k) for k in (1, 2, 4, 8)]
    sa = shaken(small.attention)
    seen: list[Tensor] = []
    sa.mix[2].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for bias in (10.0, 20.0):  # far up, GELU is the identity
            sa.fuse.weight[4:] = 0
            sa.fuse.bias[4:] = bias
            sa(skips)
    once, twice = (s - skips[2] for s in seen)
    torch.testing.assert_close(twice, 2 * once)


@pytest.mark.parametrize("size", [(37, 53), (71, 73), (16, 16), (1, 1)])
def test_any_size_is_padded_and_cropped(small: SA2Net, size: tuple[int, int]) -> None:
    net, x = shaken(small), images(1, 3, *size)
    padded = F.pad(x, (0, -size[1] % 16, 0, -size[0] % 16))
    with torch.no_grad():
        found = net.outputs(x)
        expected = [h[..., : size[0], : size[1]] for h in published(small, padded)]
        torch.testing.assert_close(net(x), found[0], rtol=0, atol=0)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == (1, 1, *size)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_heads_are_finest_first_and_only_the_finest_is_computed_otherwise(small: SA2Net) -> None:
    x = torch.rand(2, 3, 32, 48)
    assert [h.shape[-2:] for h in small.heads(x, every=True)] == [
        (32, 48), (16, 24), (8, 12), (4, 6)
    ]  # fmt: skip
    for idle in small.head[1:]:
        idle.register_forward_hook(lambda *_: pytest.fail("a coarse head was computed"))
    assert len(small.heads(x, every=False)) == 1
    assert small(x).shape == (2, 1, 32, 48)


def test_gradients_reach_every_parameter(small: SA2Net) -> None:
    torch.manual_seed(0)  # with some images a gate of so small a network is shut everywhere
    small.train()
    assert without_gradient(small, torch.rand(2, 3, 40, 56)) == []


def test_images_of_a_batch_do_not_meet_in_evaluation(small: SA2Net) -> None:
    net, x = shaken(small), images(2, 3, 37, 53)
    with torch.no_grad():
        alone = torch.cat([net(x[:1]), net(x[1:])])
        torch.testing.assert_close(net(x), alone, rtol=0, atol=1e-12)


def test_channels_last_changes_nothing(small: SA2Net) -> None:
    net, x = shaken(small), images(2, 3, 37, 53)
    with torch.no_grad():
        before = net(x)
        net.to(memory_format=torch.channels_last)
        after = net(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(after, before, rtol=0, atol=1e-10)
