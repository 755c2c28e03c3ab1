"""U-Net v2 and its encoder against the count sheet, their formulae and files of weights."""

from __future__ import annotations

import copy
import hashlib
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from network_checks import count, images, shaken, without_gradient
from pvt_names import from_published
from safetensors.torch import save_file
from torch import Tensor, nn

from vesselforge.configs.errors import CheckpointError, ConfigError, DataError
from vesselforge.engine.downloads import CACHE_VARIABLE
from vesselforge.segmenter.networks import build, pvt
from vesselforge.segmenter.networks.pvt import PyramidEncoder
from vesselforge.segmenter.networks.unet_v2 import Infusion, UNetV2

pytestmark = pytest.mark.slow

DIMS, DEPTHS, HEADS, RATIOS = (64, 128, 320, 512), (3, 4, 6, 3), (1, 2, 5, 8), (8, 4, 2, 1)
MLP = (8, 8, 4, 4)


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
    cut(network.encoder)
    shaken(network)
    with torch.no_grad():  # initially a product of four small numbers: hardly more than its bias
        for conv in network.infuse.modules():
            if isinstance(conv, nn.Conv2d):
                conv.weight *= 4
    return network


def cut(encoder: PyramidEncoder) -> PyramidEncoder:
    for layer in encoder.body.encoder.layers:
        layer.blocks = layer.blocks[:1]
    return encoder


def test_counts_are_those_of_the_sheet_without_dead_weights(full: UNetV2) -> None:
    assert count(full) == 25_145_036 - 16_384 == 25_128_652
    assert [count(r[0]) for r in full.reduce] == [512, 2_048, 12_800, 32_768]
    assert [count(r[1]) for r in full.reduce] == [98] * 4
    assert [count(r[2]) + count(r[3]) for r in full.reduce] == [2_112, 4_160, 10_304, 16_448]
    assert [count(m) for m in full.infuse] == [36_992] * 4
    assert [count(m) for m in full.up] == [16_384] * 3
    assert count(full.head) == 132


def test_counts_of_the_encoder(full: UNetV2) -> None:
    assert count(full.encoder) == 24_849_856
    stages = full.encoder.body.encoder.layers
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


def test_constants_of_the_encoder(full: UNetV2) -> None:
    """What the library's own configuration cannot say (one epsilon for all) and what it can."""
    norms = {n: m for n, m in full.encoder.named_modules() if isinstance(m, nn.LayerNorm)}
    loose = {n for n in norms if "patch_embedding" in n or "attention" in n}
    assert len(norms) == 16 * 2 + 4 + 4 + 13
    assert len(loose) == 4 + 13
    assert {norms[n].eps for n in loose} == {1e-5}
    assert {norms[n].eps for n in norms.keys() - loose} == {1e-6}
    blocks = [b for s in full.encoder.body.encoder.layers for b in s.blocks]
    rates = [getattr(b.drop_path, "drop_prob", 0.0) for b in blocks]
    assert rates == pytest.approx([0.1 * i / 15 for i in range(16)])
    assert isinstance(blocks[0].drop_path, nn.Identity)
    assert {m.p for m in full.encoder.modules() if isinstance(m, nn.Dropout)} == {0}
    assert {m.eps for m in full.reduce.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-5}


def test_initial_values_of_the_encoder(full: UNetV2) -> None:
    for module in full.encoder.modules():
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


def test_published_weights_give_the_published_maps(full: UNetV2) -> None:
    """The split of `kv` and every formula of the encoder at once; a rectangular image."""
    weights = published_weights()
    encoder = copy.deepcopy(full.encoder).double().eval()
    encoder.body.load_state_dict(from_published(encoder.body, weights))
    x = images(2, 3, 64, 96) - 0.5
    with torch.no_grad():
        found = encoder(x)
        expected = by_hand({k: v.double() for k, v in weights.items()}, x)
    for ours, theirs, stride in zip(found, expected, (4, 8, 16, 32), strict=True):
        assert ours.shape[-2:] == (64 // stride, 96 // stride)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-8)


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


# Weight files.


@pytest.fixture(scope="module")
def encoder() -> PyramidEncoder:
    """With one block per stage: the files stay small."""
    return cut(PyramidEncoder())


def tensors(encoder: PyramidEncoder) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in encoder.body.state_dict().items()}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def mirror(
    encoder: PyramidEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ThreadingHTTPServer, Path]]:
    """A local server of a weight file, named by the environment as the official one's place."""
    path = tmp_path / "served" / "model.safetensors"
    path.parent.mkdir()
    content = {f"pvt_v2.{n}": torch.full_like(t, 0.25) for n, t in tensors(encoder).items()}
    save_file(content | {"classifier.bias": torch.zeros(9)}, path)
    handler = partial(Quiet, directory=str(path.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{path.name}"
    monkeypatch.setenv(pvt.URL_VARIABLE, url)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(pvt, "WEIGHTS_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    yield server, path
    server.shutdown()
    server.server_close()


def test_official_weights_are_fetched_once_and_checked(
    encoder: PyramidEncoder, mirror: tuple[ThreadingHTTPServer, Path]
) -> None:
    server, path = mirror
    encoder.load_pretrained()
    path.unlink()
    server.shutdown()
    encoder.load_pretrained()  # the second time they are on disk
    assert all((t == 0.25).all() for t in tensors(encoder).values())


def test_another_networks_file_is_refused_and_nothing_changed(
    encoder: PyramidEncoder,
    mirror: tuple[ThreadingHTTPServer, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, path = mirror
    before = tensors(encoder)
    content = before | {"encoder.layers.3.layer_norm.bias": torch.zeros(3)}
    save_file(content, path)
    monkeypatch.setattr(pvt, "WEIGHTS_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(CheckpointError, match=r"layers\.3\.layer_norm\.bias has shape \[3\]"):
        encoder.load_pretrained()
    assert all(torch.equal(t, before[name]) for name, t in tensors(encoder).items())


def test_another_file_at_that_address_is_refused(
    encoder: PyramidEncoder, mirror: tuple[ThreadingHTTPServer, Path], tmp_path: Path
) -> None:
    _, path = mirror
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"could not be had .*SHA|could not be had .*hash"):
        encoder.load_pretrained()
    assert not any((tmp_path / "cache").glob("*.safetensors"))


def test_offline_it_says_what_to_do_and_nothing_falls_back(
    mirror: tuple[ThreadingHTTPServer, Path],
) -> None:
    server, _ = mirror
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=r"unet-v2: pretrained needs .* or train from random"):
        build("unet-v2", pretrained=True)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'vesselforge\[pvt\]'"):
        build("unet-v2")


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
