"""SA-UNet against published counts and golden forward numbers, DropBlock against its theory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_weights import golden_network
from torch import nn

from vesselforge.configs.errors import ConfigError
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.dropblock import DropBlock
from vesselforge.segmenter.networks.group_norm import GroupNorm
from vesselforge.segmenter.networks.units import UpConv


@pytest.mark.parametrize(
    ("name", "trainable", "running"),
    [
        ("unet-23", 2_158_705, 0),
        ("unet-18", 535_793, 0),
        ("unet-18-sa", 535_891, 0),
        ("sd-unet", 535_793, 0),
        ("backbone", 537_201, 1_408),
        ("sa-unet", 537_299, 1_408),
        ("sa-unet-v2", 260_521, 0),
        ("sa-unet-gn", 537_299, 0),
        ("unet-23-gn", 2_161_649, 0),
    ],
)
def test_parameter_counts_are_the_published_ones(name: str, trainable: int, running: int) -> None:
    network = build(name)
    assert sum(p.numel() for p in network.parameters()) == trainable
    buffers = network.named_buffers()
    assert sum(b.numel() for key, b in buffers if "running" in key) == running


def test_a_wider_network_has_the_count_of_the_published_table() -> None:
    wide = build("unet-23-gn", width=32)
    assert sum(p.numel() for p in wide.parameters()) == 8_636_385


GOLDEN = {  # logits at (0, 0), (0, 63), (31, 40), (63, 63), and their mean
    "sa-unet": [-0.164350, -0.397543, -1.014762, -0.272821, -0.398875],
    "sa-unet-v2": [0.243743, 0.642266, 0.500107, -0.401429, 0.311119],
}


@pytest.mark.parametrize("name", GOLDEN)
def test_forward_equals_golden_numbers(name: str) -> None:
    network = golden_network(name)
    index = torch.arange(64, dtype=torch.float64)
    wave = [torch.sin(0.3 * index[:, None] + 0.2 * index[None] + c) for c in range(3)]
    logits = network(0.5 + 0.5 * torch.stack(wave)[None])[0, 0].detach()
    found = [logits[0, 0], logits[0, 63], logits[31, 40], logits[63, 63], logits.mean()]
    np.testing.assert_allclose([float(v) for v in found], GOLDEN[name], atol=2e-6)


@pytest.mark.parametrize("size", [(37, 53), (64, 64), (8, 120)])
def test_any_size_comes_back_in_that_size(size: tuple[int, int]) -> None:
    logits = build("sa-unet").eval()(torch.rand(2, 3, *size))
    assert logits.shape == (2, 1, *size)


def test_padding_does_not_change_an_image_of_fitting_size() -> None:
    network = build("sa-unet").eval()
    x = torch.rand(1, 3, 60, 64)
    padded = torch.nn.functional.pad(x, (0, 0, 0, 4))
    torch.testing.assert_close(network(x), network(padded)[..., :60, :])


def test_unknown_network_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'u-net'.*sa-unet"):
        build("u-net")


@pytest.mark.parametrize(
    ("drop", "size", "mean", "interior"),
    [(0.18, 148, 0.1643, 0.1779), (0.18, 74, 0.1636, 0.1924), (0.13, 126, 0.1216, 0.1337)],
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dropblock_drops_the_expected_share(
    drop: float, size: int, mean: float, interior: float, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    x = torch.ones(16, 64, size, size).contiguous(memory_format=layout)
    y = DropBlock(drop).train()(x)
    dropped = (y == 0).float()
    assert abs(dropped.mean().item() - mean) < 0.002
    assert abs(dropped[:, :, 7:-7, 7:-7].mean().item() - interior) < 0.002
    assert y.mean().item() == pytest.approx(1.0, abs=1e-3)  # one global rescaling
    corner = DropBlock(drop).seed_rate(size, size)
    assert dropped[..., 0, 0].mean().item() == pytest.approx(corner, abs=0.006)


def test_dropblock_drops_whole_blocks_and_rescales_globally() -> None:
    torch.manual_seed(3)
    y = DropBlock(0.1, 5).train()(torch.ones(1, 1, 40, 40))
    zero = y[0, 0] == 0
    assert zero.any()
    whole = zero.unfold(0, 5, 1).unfold(1, 5, 1).all(-1).all(-1)  # corners of all-zero blocks
    covered = torch.zeros_like(zero)
    for i, j in whole.nonzero().tolist():
        covered[i : i + 5, j : j + 5] = True
    assert torch.equal(covered, zero)
    kept = y[0, 0][~zero]
    assert torch.allclose(kept, torch.full_like(kept, 1600 / (1600 - int(zero.sum()))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 8, 24, 31), (1, 3, 19, 19)])
def test_the_gradient_of_dropblock_passes_where_its_output_does(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    for laid_out in (torch.channels_last, torch.contiguous_format):
        x = torch.ones(shape, dtype=dtype).contiguous(memory_format=laid_out)
        sliced = torch.ones((*shape[:3], 2 * shape[3]), dtype=dtype)[..., ::2]  # not dense
        for given in (x.requires_grad_(), sliced.requires_grad_()):
            torch.manual_seed(1)
            y = DropBlock(0.2).train()(given)
            weight = torch.randint(1, 9, shape).to(dtype)  # of the plain layout
            (gradient,) = torch.autograd.grad(y, given, weight)
            assert (y == 0).any()
            assert torch.equal(gradient, y.detach() * weight)


def test_dropblock_is_the_identity_in_evaluation() -> None:
    x = torch.rand(1, 4, 16, 16)
    assert torch.equal(DropBlock(0.5).eval()(x), x)


@pytest.mark.parametrize(
    ("drop", "size", "rate", "mean", "interior", "corner"),
    [
        (0.18, 592, 0.003749, 0.1648, 0.1681, 0.0037),
        (0.18, 296, 0.003827, 0.1647, 0.1713, 0.0038),
        (0.18, 148, 0.003990, 0.1643, 0.1779, 0.0040),
        (0.18, 74, 0.004350, 0.1636, 0.1924, 0.0044),
        (0.13, 1008, 0.002685, 0.1220, 0.1234, 0.0027),
        (0.13, 126, 0.002925, 0.1216, 0.1337, 0.0029),
        (0.15, 592, 0.003124, 0.1394, 0.1422, 0.0031),
        (0.15, 74, 0.003625, 0.1385, 0.1630, 0.0036),
        (0.15, 704, 0.003114, 0.1394, 0.1417, 0.0031),
        (0.10, 592, 0.002083, 0.0952, 0.0971, 0.0021),
    ],
)
def test_dropblock_table(
    drop: float, size: int, rate: float, mean: float, interior: float, corner: float
) -> None:
    block = DropBlock(drop)
    found = block.seed_rate(size, size)
    assert found == pytest.approx(rate, abs=5e-7)
    seeds_above = np.convolve(np.ones(size - 6), np.ones(7))  # admissible seeds along one axis
    dropped = 1 - (1 - found) ** np.outer(seeds_above, seeds_above)
    assert dropped.mean() == pytest.approx(mean, abs=5.1e-5)
    assert dropped.max() == pytest.approx(interior, abs=5.1e-5)
    assert dropped[0, 0] == pytest.approx(corner, abs=5.1e-5)


def test_a_network_without_dropblock_refuses_a_rate() -> None:
    with pytest.raises(ConfigError, match=r"drop: unet-18 has no DropBlock"):
        build("unet-18", drop=0.1)


def test_he_normal_is_corrected_for_its_truncation() -> None:
    torch.manual_seed(0)
    weight = build("sa-unet-v2").decoder[0][0][0].weight  # 96 inputs
    assert weight.std().item() == pytest.approx((2 / (9 * 96)) ** 0.5, rel=0.02)
    assert weight.abs().max().item() <= 2 * (2 / (9 * 96)) ** 0.5 / 0.8796


def test_transposed_convolutions_of_v2_stay_glorot() -> None:
    weight = build("sa-unet-v2").up[0].weight  # 64 to 48 channels
    limit = (6 / (9 * (64 + 48))) ** 0.5
    assert 0.95 * limit < weight.abs().max().item() <= limit


def test_attention_gates_are_initialised_as_in_keras() -> None:
    torch.manual_seed(0)
    weights = torch.cat([build("sa-unet").bottleneck[1].conv.weight.flatten() for _ in range(60)])
    assert weights.std().item() == pytest.approx((2 / 98) ** 0.5, rel=0.05)
    assert weights.abs().max().item() <= 2 * (2 / 98) ** 0.5 / 0.8796


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_group_norm_and_its_gradients_are_pytorchs(
    dtype: torch.dtype, layout: torch.memory_format
) -> None:
    torch.manual_seed(1)
    ours, theirs = GroupNorm(8, 48, eps=1e-3), nn.GroupNorm(8, 48, eps=1e-3).double()
    nn.init.normal_(ours.weight)
    theirs.load_state_dict({k: v.double() for k, v in ours.state_dict().items()})
    x = torch.randn(3, 48, 9, 7).to(dtype).contiguous(memory_format=layout).requires_grad_()
    exact = x.detach().double().requires_grad_()
    weights = torch.randn(3, 48, 9, 7)
    y = ours(x)
    (y.float() * weights).sum().backward()
    (theirs(exact) * weights).sum().backward()
    assert y.is_contiguous(memory_format=layout)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.05}
    torch.testing.assert_close(y.double(), theirs(exact), **close)
    torch.testing.assert_close(x.grad.double(), exact.grad, **close)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad.double(), b.grad, rtol=0.02, atol=close["atol"])


def test_up_convolution_is_kerass_transposed_convolution() -> None:
    up = UpConv(5, 3).double()
    x = torch.randn(2, 5, 6, 4, dtype=torch.float64)
    plain = nn.functional.conv_transpose2d(x, up.weight, up.bias, stride=2)
    torch.testing.assert_close(up(x), plain[..., :-1, :-1])
