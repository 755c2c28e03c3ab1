"""SA-UNet against published counts and golden forward numbers, DropBlock against its theory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from configs.errors import ConfigError
from segmenter.networks import build
from segmenter.networks.dropblock import DropBlock


def test_parameter_counts_are_the_published_ones() -> None:
    network = build("sa-unet")
    trainable = sum(p.numel() for p in network.parameters())
    running = sum(b.numel() for name, b in network.named_buffers() if "running" in name)
    assert (trainable, running, trainable + running) == (537_299, 1_408, 538_707)


def test_forward_equals_golden_numbers() -> None:
    network = _golden_network()
    index = torch.arange(64, dtype=torch.float64)
    wave = [torch.sin(0.3 * index[:, None] + 0.2 * index[None] + c) for c in range(3)]
    logits = network(0.5 + 0.5 * torch.stack(wave)[None])[0, 0]
    logits = logits.detach()
    found = [logits[0, 0], logits[0, 63], logits[31, 40], logits[63, 63], logits.mean()]
    golden = [-0.164350, -0.397543, -1.014762, -0.272821, -0.398875]
    np.testing.assert_allclose([float(v) for v in found], golden, atol=2e-6)


def _golden_network() -> nn.Module:
    """SA-UNet in float64, evaluation mode, filled with the deterministic numbers of the sheet."""
    network = build("sa-unet").double().eval()
    count = 0
    with torch.no_grad():
        for count, (role, tensor) in enumerate(_ordered(network), start=1):
            n = np.arange(tensor.numel(), dtype=np.int64)
            u = ((7919 * n**2 + 104729 * count + 31 * n) % 997) / 996 - 0.5
            if role in ("conv", "up"):
                inputs = tensor.shape[0 if role == "up" else 1]
                fan = tensor.shape[2] * tensor.shape[3] * inputs
                value = (2 / fan) ** 0.5 * 12**0.5 * u
            else:
                value = {"bias": 0.2 * u, "gamma": 1 + 0.2 * u, "var": 1 + 0.4 * u}[role]
            tensor.copy_(torch.from_numpy(value).reshape(tensor.shape))
    assert count == 93
    return network


def _ordered(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    def unit(u: nn.Sequential) -> Iterator[tuple[str, Tensor]]:
        yield from (("conv", u[0].weight), ("bias", u[0].bias))
        yield from (("gamma", u[2].weight), ("bias", u[2].bias))
        yield from (("bias", u[2].running_mean), ("var", u[2].running_var))

    for stage in network.encoder:
        for u in stage:
            yield from unit(u)
    yield from unit(network.bottleneck[0])
    yield "conv", network.bottleneck[1].conv.weight
    yield from unit(network.bottleneck[2])
    for up, stage in zip(network.up, network.decoder, strict=True):
        yield from (("up", up.weight), ("bias", up.bias))
        for u in stage:
            yield from unit(u)
    yield from (("conv", network.head.weight), ("bias", network.head.bias))


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


def test_dropblock_is_the_identity_in_evaluation() -> None:
    x = torch.rand(1, 4, 16, 16)
    assert torch.equal(DropBlock(0.5).eval()(x), x)


def test_attention_gates_are_initialised_as_in_keras() -> None:
    torch.manual_seed(0)
    weights = torch.cat([build("sa-unet").bottleneck[1].conv.weight.flatten() for _ in range(60)])
    assert weights.std().item() == pytest.approx((2 / 98) ** 0.5, rel=0.05)
    assert weights.abs().max().item() <= 2 * (2 / 98) ** 0.5 / 0.8796
