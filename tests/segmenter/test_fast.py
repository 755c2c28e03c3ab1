"""Networks made fast on a CPU: the same probabilities, and nothing else changed."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from segmenter_helpers import settled
from torch import Tensor, nn

from vesselforge.configs.errors import ConfigError
from vesselforge.engine.devices import slow_bfloat16
from vesselforge.segmenter.inference import packed
from vesselforge.segmenter.inference.fast import Fast, FastUp, Halved, fast, normalised
from vesselforge.segmenter.inference.packed import (
    BlockwiseGate,
    GroupNormSiLU,
    PackedConv,
    PackedPair,
)
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.contract import Segmenter
from vesselforge.segmenter.networks.group_norm import GroupNorm
from vesselforge.segmenter.networks.sa_unet import VARIANTS
from vesselforge.segmenter.networks.units import UpConv

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
LAST = torch.channels_last
SIZES = [(1, 3, 64, 80), (2, 3, 37, 53), (1, 3, 1, 1), (1, 3, 5, 120)]
needs_bfloat16 = pytest.mark.skipif(slow_bfloat16(CPU), reason="a CPU without bfloat16")


def network_of(name: str) -> Segmenter:
    torch.manual_seed(0)
    options = {"width": 8} if name in VARIANTS or name == "sa2-net" else {}
    network = settled(build(name, **options))
    assert isinstance(network, Segmenter)
    return network


def probability(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.sigmoid(network(x))


@pytest.fixture(params=["onednn", "passes"])
def onednn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With oneDNN's fused convolutions, and without."""
    if request.param == "passes":
        monkeypatch.setattr(packed, "has_onednn", lambda: False)
    elif not packed.has_onednn():
        pytest.skip("PyTorch is built without oneDNN")
    return str(request.param)


@pytest.mark.parametrize("name", [*VARIANTS, "sa2-net"])
def test_float32_changes_rounding_only(name: str, onednn: str) -> None:
    network = network_of(name)
    quick = fast(network)
    uses = [m.onednn for m in quick.modules() if isinstance(m, PackedConv)]
    assert uses and all(use == (onednn == "onednn") for use in uses)
    for size in SIZES:
        x = torch.rand(size)
        found, expected = probability(quick, x), probability(network, x)
        assert found.shape == expected.shape and found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@needs_bfloat16
@pytest.mark.parametrize("name", [*VARIANTS, "sa2-net"])
def test_bfloat16_stays_close(name: str) -> None:
    """Untrained networks hardly have an opinion, but their normalised maps are as large."""
    network = network_of(name)
    quick = fast(network, torch.bfloat16)
    for size in SIZES:
        x = torch.rand(size)
        difference = (probability(quick, x) - probability(network, x)).abs()
        assert 0 < difference.max() < 0.02 and difference.mean() < 0.005


@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.bfloat16, marks=needs_bfloat16)]
)
@pytest.mark.parametrize("name", ["sa-unet", "sa-unet-v2"])
def test_a_result_depends_on_the_image_alone(name: str, dtype: torch.dtype) -> None:
    quick = fast(network_of(name), dtype)
    x = torch.rand(3, 3, 40, 48)
    first = quick(x)
    assert torch.equal(quick(x), first)
    assert torch.equal(quick(x.contiguous(memory_format=LAST)), first)
    for at in range(3):
        assert torch.equal(quick(x[at : at + 1]), first[at : at + 1])


@pytest.mark.parametrize("name", ["sa-unet", "sa-unet-v2", "sa2-net"])
def test_the_original_and_the_copy_are_independent(name: str) -> None:
    network = network_of(name).requires_grad_(True)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    modules = [type(module) for module in network.modules()]
    x = torch.rand(1, 3, 40, 48)
    quick = fast(network)
    result = quick(x)
    assert [type(module) for module in network.modules()] == modules
    assert all(parameter.requires_grad for parameter in network.parameters())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    assert torch.equal(quick(x), result)


def test_nothing_of_training_is_left() -> None:
    gone = (nn.BatchNorm2d, nn.GroupNorm, nn.ReLU, nn.SiLU)
    for name in ("sa-unet", "sa-unet-v2"):
        quick = fast(network_of(name))
        assert not any(isinstance(module, gone) for module in quick.modules())
        assert not any("Drop" in type(module).__name__ for module in quick.modules())
        assert quick.multiple == 8 and not any(p.requires_grad for p in quick.parameters())


def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesselforge.segmenter.inference.fast.slow_bfloat16", lambda device: True)
    with pytest.raises(ConfigError, match="expected float32"):
        fast(network_of("sa-unet"), torch.bfloat16)
    assert isinstance(fast(network_of("sa-unet")), Fast)


@pytest.mark.parametrize(
    ("height", "width", "side"), [(12, 16, 7), (9, 5, 7), (1, 3, 9), (8, 8, 3)]
)
def test_a_gate_by_blocks_is_the_convolution(height: int, width: int, side: int) -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(1, 2, side, side), torch.randn(2, 2, height, width)
    found = BlockwiseGate(weight, torch.float32)(x[:, :1], x[:, 1:])
    torch.testing.assert_close(found, torch.sigmoid(F.conv2d(x, weight, padding=side // 2)))


@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_group_norm_of_a_large_map_is_exact(offset: float) -> None:
    """PyTorch's own, on channels-last maps, is off by 2e-4 here (by 0.03 with the offset)."""
    torch.manual_seed(0)
    norm = GroupNorm(8, 16)
    nn.init.uniform_(norm.weight)
    nn.init.uniform_(norm.bias)
    x = (torch.randn(2, 16, 400, 400) + offset).contiguous(memory_format=LAST)
    with torch.no_grad():
        exact = F.group_norm(x.double(), 8, norm.weight.double(), norm.bias.double())
        found = norm(x)
        assert found.is_contiguous(memory_format=LAST)
        bound = 3e-6 * (1 + offset)
        assert (
            (found - exact).abs().max()
            < bound
            < (nn.GroupNorm.forward(norm, x) - exact).abs().max()
        )
        one = GroupNormSiLU(norm)(x[:1].clone(memory_format=torch.preserve_format))
        assert (one - F.silu(exact[:1])).abs().max() < bound


@needs_bfloat16
def test_bfloat16_maps_are_normalised_in_place_of_float32_ones() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 16, 33, 47).bfloat16().contiguous(memory_format=LAST)
    norm = GroupNorm(8, 16)
    with torch.no_grad():
        exact = F.silu(F.group_norm(x.double(), 8))
        assert (GroupNormSiLU(norm)(x.clone()) - exact).abs().max() < 2**-8 * exact.abs().max()


def test_the_other_pieces() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 10, 14).contiguous(memory_format=LAST)
    assert torch.equal(Halved()(x), F.max_pool2d(x, 2))
    up = UpConv(3, 5).requires_grad_(False)
    torch.testing.assert_close(FastUp(up)(x), up(x), rtol=1e-5, atol=1e-6)
    conv, norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
    norm.running_mean, norm.running_var = torch.randn(4), torch.rand(4) + 0.5
    weight, bias = normalised(conv.weight, None, norm)
    torch.testing.assert_close(F.conv2d(x, weight, bias), norm.eval()(conv(x)))


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 2, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, 3, padding=1, stride=2),
        nn.Conv2d(4, 4, 3, padding=1, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    ],
)
def test_other_convolutions_are_left_alone(conv: nn.Conv2d) -> None:
    assert not PackedConv.takes(conv)


def test_a_convolution_of_two_maps_joined(onednn: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 8, 9, 11).contiguous(memory_format=LAST)
    weight, bias = torch.randn(5, 8, 3, 3), torch.randn(5)
    both = (half.contiguous(memory_format=LAST) for half in x.chunk(2, dim=1))
    expected = F.relu(F.conv2d(x, weight, bias, padding=1))
    given = weight, bias, torch.float32, "relu"
    torch.testing.assert_close(PackedConv(*given)(x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(PackedPair(*given)(tuple(both)), expected, rtol=1e-5, atol=1e-5)


def test_the_runtime_of_choice_on_a_cpu() -> None:
    networks = [network_of("sa-unet"), network_of("unet-18")]
    x = torch.rand(1, 3, 37, 53)
    plain, auto = (Model(networks, 0.5, CPU, name) for name in ("torch", "auto"))
    made_fast = [[isinstance(n, Fast) for n in model.networks] for model in (plain, auto)]
    assert made_fast == [[False] * 2, [True] * 2] and auto.each.multiple == 8
    torch.testing.assert_close(auto.run(x), plain.run(x), rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match="found meta for the runtime fast,"):
        Model([network_of("sa-unet")], 0.5, torch.device("meta"), "fast")


@needs_bfloat16
def test_bfloat16_by_name() -> None:
    networks = [network_of("sa-unet")]
    x = torch.rand(1, 3, 37, 53)
    found = Model(networks, 0.5, CPU, "fast-bfloat16").run(x)
    assert 0 < (found - Model(networks, 0.5, CPU).run(x)).abs().max() < 0.02
