"""U-Net v2 against the count sheet and its formulae."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from network_checks import count, images, one_block_a_stage, shaken, without_gradient
from torch import Tensor, nn

from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.unet_v2 import Infusion, UNetV2

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def full() -> UNetV2:
    torch.manual_seed(0)
    network = build("unet-v2")
    assert isinstance(network, UNetV2)
    return network


@pytest.fixture(scope="module")
def shallow() -> UNetV2:
    """One block per stage, everything shaken; for whatever does not need all sixteen."""
    torch.manual_seed(0)
    network = UNetV2(channel=8)
    one_block_a_stage(network.encoder)
    shaken(network)
    with torch.no_grad():  # initially a product of four small numbers: hardly more than its bias
        for conv in network.infuse.modules():
            if isinstance(conv, nn.Conv2d):
                conv.weight *= 4
    return network


def test_counts_are_those_of_the_sheet_without_dead_weights(full: UNetV2) -> None:
    assert count(full) == 25_145_036 - 16_384 == 25_128_652
    assert [count(r[0]) for r in full.reduce] == [512, 2_048, 12_800, 32_768]
    assert [count(r[1]) for r in full.reduce] == [98] * 4
    assert [count(r[2]) + count(r[3]) for r in full.reduce] == [2_112, 4_160, 10_304, 16_448]
    assert [count(m) for m in full.infuse] == [36_992] * 4
    assert [count(m) for m in full.up] == [16_384] * 3
    assert count(full.head) == 132
    assert {m.eps for m in full.reduce.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-5}


# The decoder once more.


def corner_to_corner(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear with align_corners: one weight matrix per axis, filled entry by entry."""

    def matrix(old: int, new: int) -> Tensor:
        m = torch.zeros(new, old, dtype=x.dtype)
        for i in range(new):
            at = i * (old - 1) / (new - 1)
            low = min(int(at), old - 1)
            m[i, low] += 1 - (at - low)
            if low + 1 < old:
                m[i, low + 1] += at - low
        return m

    return matrix(x.shape[-2], height) @ x @ matrix(x.shape[-1], width).T


def infused(m: Infusion, level: int, maps: list[Tensor]) -> Tensor:
    height, width = maps[level].shape[-2:]
    product = torch.ones_like(maps[level])
    for f, conv in zip(maps, m.conv, strict=True):
        if f.shape[-2] > height:
            f = F.adaptive_avg_pool2d(f, (height, width))
        elif f.shape[-2] < height:
            f = corner_to_corner(f, height, width)
        product = product * F.conv2d(f, conv.weight, conv.bias, padding=1)
    return product


def attended(f: Tensor, reduce: nn.Sequential) -> Tensor:
    """CA, SA and the reduction, in the symbols of the sheet."""
    w1, w2 = reduce[0].weigh[0].weight[:, :, 0, 0], reduce[0].weigh[2].weight[:, :, 0, 0]
    gates = []
    for pooled in (f.flatten(2).mean(2), f.flatten(2).max(2).values):
        gates.append((pooled @ w1.T).clamp(min=0) @ w2.T)
    f = f / (1 + torch.exp(-gates[0] - gates[1]))[:, :, None, None]
    summary = torch.stack([f.mean(1), f.max(1).values], 1)
    f = f / (1 + torch.exp(-F.conv2d(summary, reduce[1].conv.weight, padding=3)))
    f = torch.einsum("oi,nihw->nohw", reduce[2].weight[:, :, 0, 0], f)
    norm = reduce[3]
    scale = norm.weight / (norm.running_var + 1e-5).sqrt()
    return (f - norm.running_mean[:, None, None]) * scale[:, None, None] + norm.bias[:, None, None]


def published(net: UNetV2, x: Tensor) -> list[Tensor]:
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None].to(x)
    deviation = torch.tensor([0.229, 0.224, 0.225])[:, None, None].to(x)
    features = net.encoder((x - mean) / deviation)
    maps = [attended(f, reduce) for f, reduce in zip(features, net.reduce, strict=True)]
    y = infused(net.infuse[3], 3, maps)
    levels = [y]
    for up, level in zip(net.up, (2, 1, 0), strict=True):
        y = F.conv_transpose2d(y, up.weight, stride=2, padding=1)
        y = y + infused(net.infuse[level], level, maps)
        levels.insert(0, y)
    out = []
    for level, head in zip(levels, net.head, strict=True):
        logits = F.conv2d(level, head.weight, head.bias)
        size = [4 * s for s in logits.shape[-2:]]
        out.append(F.interpolate(logits, size, mode="bilinear", align_corners=False))
    return out


def test_every_head_equals_the_published_formulae(shallow: UNetV2) -> None:
    x = images(2, 3, 64, 160)
    with torch.no_grad():
        found, expected = shallow.heads(x, every=True), published(shallow, x)
    for ours, theirs, divisor in zip(found, expected, (1, 2, 4, 8), strict=True):
        assert ours.shape == (2, 1, 64 // divisor, 160 // divisor)
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)
        assert theirs.std() > 1e-3, "a constant map would prove nothing"


@pytest.mark.parametrize("size", [(37, 53), (71, 73), (32, 32), (1, 1)])
def test_any_size_is_padded_and_cropped(shallow: UNetV2, size: tuple[int, int]) -> None:
    x = images(1, 3, *size)
    padded = F.pad(x, (0, -size[1] % 32, 0, -size[0] % 32))
    with torch.no_grad():
        found, expected = shallow(x), published(shallow, padded)[0]
        assert [head.shape for head in shallow.outputs(x)] == [(1, 1, *size)] * 4
    torch.testing.assert_close(found, expected[..., : size[0], : size[1]], rtol=1e-9, atol=1e-10)


def test_coarse_heads_are_computed_only_when_asked_for(
    shallow: UNetV2, monkeypatch: pytest.MonkeyPatch
) -> None:
    for idle in shallow.head[1:]:
        monkeypatch.setattr(idle, "forward", lambda _: pytest.fail("a coarse head was computed"))
    with torch.no_grad():
        assert shallow(images(1, 3, 32, 64)).shape == (1, 1, 32, 64)


def test_gradients_reach_every_parameter(full: UNetV2) -> None:
    full.train()
    assert without_gradient(full, torch.rand(2, 3, 40, 56)) == []
    full.zero_grad()


def test_images_of_a_batch_do_not_meet_in_evaluation(shallow: UNetV2) -> None:
    x = images(2, 3, 37, 53)
    with torch.no_grad():
        alone = torch.cat([shallow(x[:1]), shallow(x[1:])])
        torch.testing.assert_close(shallow(x), alone, rtol=1e-9, atol=1e-11)


def test_channels_last_changes_nothing(shallow: UNetV2) -> None:
    x = images(2, 3, 37, 53)
    with torch.no_grad():
        before = shallow(x)
        shallow.to(memory_format=torch.channels_last)
        after = shallow(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-11)


def test_model_files_hold_parameters_and_running_statistics_only(full: UNetV2) -> None:
    buffers = full.state_dict().keys() - dict(full.named_parameters()).keys()
    assert {name.rpartition(".")[2] for name in buffers} == {
        "running_mean", "running_var", "num_batches_tracked"
    }  # fmt: skip


def test_a_trace_with_open_sizes_gives_the_same(shallow: UNetV2) -> None:
    """What an export to ONNX starts from; it needs the padded sizes as products of 32."""
    net = shallow.float()
    free = torch.export.Dim.DYNAMIC
    shapes = ({0: free, 2: free, 3: free},)
    with torch.no_grad():
        program = torch.export.export(net, (torch.rand(2, 3, 40, 56),), dynamic_shapes=shapes)
        for size in ((1, 3, 37, 53), (3, 3, 70, 45)):
            x = torch.rand(*size)
            expected = net(x)
            torch.testing.assert_close(program.module()(x), expected, rtol=1e-4, atol=1e-4)
            assert expected.std() > 1e-3, "a constant map would prove nothing"
