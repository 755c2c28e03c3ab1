"""U-Net v2's encoder against the count sheet, and once more from the authors' tensors."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from network_checks import count, images
from pvt_names import from_published
from torch import Tensor, nn

from vesselforge.segmenter.networks.pvt import PyramidEncoder

pytestmark = pytest.mark.slow

DIMS, DEPTHS, HEADS, RATIOS = (64, 128, 320, 512), (3, 4, 6, 3), (1, 2, 5, 8), (8, 4, 2, 1)

MLP = (8, 8, 4, 4)


@pytest.fixture(scope="module")
def full() -> PyramidEncoder:
    torch.manual_seed(0)
    return PyramidEncoder()


def test_counts_of_the_encoder(full: PyramidEncoder) -> None:
    assert count(full) == 24_849_856
    stages = full.body.encoder.layers
    assert [count(s.patch_embedding) for s in stages] == [9_600, 74_112, 369_600, 1_476_096]
    assert [[count(b) for b in s.blocks] for s in stages] == [
        [350_464] * 3, [602_624] * 4, [1_656_320] * 6, [3_172_864] * 3
    ]  # fmt: skip
    assert [count(s.layer_norm) for s in stages] == [128, 256, 640, 1_024]
    block = stages[0].blocks[0]
    attention, mlp = block.attention, block.mlp
    parts = [
        block.layer_norm_1, attention.query, nn.ModuleList([attention.key, attention.value]),
        attention.proj, attention.spatial_reduction, attention.layer_norm, block.layer_norm_2,
        mlp.dense1, mlp.dwconv, mlp.dense2,
    ]  # fmt: skip
    sheet = [128, 4_160, 8_320, 4_160, 262_208, 128, 128, 33_280, 5_120, 32_832]
    assert [count(part) for part in parts] == sheet


def test_constants_of_the_encoder(full: PyramidEncoder) -> None:
    """What the library's own configuration cannot say (one epsilon for all) and what it can."""
    norms = {n: m for n, m in full.named_modules() if isinstance(m, nn.LayerNorm)}
    loose = {n for n in norms if "patch_embedding" in n or "attention" in n}
    assert len(norms) == 16 * 2 + 4 + 4 + 13
    assert len(loose) == 4 + 13
    assert {norms[n].eps for n in loose} == {1e-5}
    assert {norms[n].eps for n in norms.keys() - loose} == {1e-6}
    blocks = [b for s in full.body.encoder.layers for b in s.blocks]
    rates = [getattr(b.drop_path, "drop_prob", 0.0) for b in blocks]
    assert rates == pytest.approx([0.1 * i / 15 for i in range(16)])
    assert isinstance(blocks[0].drop_path, nn.Identity)
    assert {m.p for m in full.modules() if isinstance(m, nn.Dropout)} == {0}


def test_initial_values_of_the_encoder(full: PyramidEncoder) -> None:
    for module in full.modules():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)
            assert not module.bias.any()
        if isinstance(module, nn.Conv2d):
            fan_out = module.weight[:, 0].numel() / module.groups
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
            assert not module.bias.any()
        if isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all()
            assert not module.bias.any()


# The encoder once more, from the authors' tensors alone.


def published_weights() -> dict[str, Tensor]:
    """A state dict in the layout and with the names of `pvt_v2_b2.pth`, without the classifier."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]

    for s, (c, sr, ratio) in enumerate(zip(DIMS, RATIOS, MLP, strict=True), start=1):
        side = 7 if s == 1 else 3
        layer(f"patch_embed{s}.proj", c, (3, *DIMS)[s - 1], side, side)
        layer(f"patch_embed{s}.norm", c)
        layer(f"norm{s}", c)
        for b in range(DEPTHS[s - 1]):
            block = f"block{s}.{b}"
            for name in ("norm1", "norm2"):
                layer(f"{block}.{name}", c)
            for name, rows in (("q", c), ("kv", 2 * c), ("proj", c)):
                layer(f"{block}.attn.{name}", rows, c)
            if sr > 1:
                layer(f"{block}.attn.sr", c, c, sr, sr)
                layer(f"{block}.attn.norm", c)
            layer(f"{block}.mlp.fc1", ratio * c, c)
            layer(f"{block}.mlp.dwconv.dwconv", ratio * c, 1, 3, 3)
            layer(f"{block}.mlp.fc2", c, ratio * c)
    rng = torch.Generator().manual_seed(0)
    made = {}
    for name, shape in shapes.items():
        noise = torch.empty(shape).uniform_(-1, 1, generator=rng)
        fan_in = torch.Size(shape[1:]).numel()
        made[name] = noise * (3 / fan_in) ** 0.5 if len(shape) > 1 else 0.5 * noise
        if "norm" in name and name.endswith("weight"):
            made[name] += 1
    return made


def by_hand(w: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """PVTv2-b2: attention head by head and query by query of all keys, in explicit formulae."""

    def norm(t: Tensor, name: str, eps: float) -> Tensor:
        centred = t - t.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(t: Tensor, name: str) -> Tensor:
        return t @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def conv(t: Tensor, name: str, **how: int) -> Tensor:
        return F.conv2d(t, w[f"{name}.weight"], w[f"{name}.bias"], **how)

    def tokens(m: Tensor) -> Tensor:
        return m.flatten(2).transpose(1, 2)

    def plane(t: Tensor, like: Tensor) -> Tensor:
        return t.transpose(1, 2).reshape(len(t), -1, *like.shape[-2:])

    def attention(t: Tensor, name: str, like: Tensor, heads: int, sr: int) -> Tensor:
        q, source = linear(t, f"{name}.q"), t
        if sr > 1:
            reduced = conv(plane(t, like), f"{name}.sr", stride=sr)
            source = norm(tokens(reduced), f"{name}.norm", 1e-5)
        kv = linear(source, f"{name}.kv")
        size = q.shape[-1] // heads
        k, v = kv[..., : q.shape[-1]], kv[..., q.shape[-1] :]
        seen = []
        for head in range(heads):
            part = slice(head * size, (head + 1) * size)
            e = torch.exp(q[..., part] @ k[..., part].transpose(1, 2) / size**0.5)
            seen.append(e / e.sum(-1, keepdim=True) @ v[..., part])
        return linear(torch.cat(seen, -1), f"{name}.proj")

    maps = []
    for s in range(1, 5):
        side = 7 if s == 1 else 3
        x = conv(x, f"patch_embed{s}.proj", stride=4 if s == 1 else 2, padding=side // 2)
        t = norm(tokens(x), f"patch_embed{s}.norm", 1e-5)
        for b in range(DEPTHS[s - 1]):
            block = f"block{s}.{b}"
            normed = norm(t, f"{block}.norm1", 1e-6)
            t = t + attention(normed, f"{block}.attn", x, HEADS[s - 1], RATIOS[s - 1])
            hidden = plane(linear(norm(t, f"{block}.norm2", 1e-6), f"{block}.mlp.fc1"), x)
            name = f"{block}.mlp.dwconv.dwconv"
            hidden = tokens(conv(hidden, name, padding=1, groups=hidden.shape[1]))
            hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
            t = t + linear(hidden, f"{block}.mlp.fc2")
        x = plane(norm(t, f"norm{s}", 1e-6), x)
        maps.append(x)
    return maps


def test_published_weights_give_the_published_maps(full: PyramidEncoder) -> None:
    """The split of `kv` and every formula of the encoder at once; a rectangular image."""
    weights = published_weights()
    encoder = copy.deepcopy(full).double().eval()
    encoder.body.load_state_dict(from_published(encoder.body, weights))
    x = images(2, 3, 64, 96) - 0.5
    with torch.no_grad():
        found = encoder(x)
        expected = by_hand({k: v.double() for k, v in weights.items()}, x)
    for ours, theirs, stride in zip(found, expected, (4, 8, 16, 32), strict=True):
        assert ours.shape[-2:] == (64 // stride, 96 // stride)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8)
