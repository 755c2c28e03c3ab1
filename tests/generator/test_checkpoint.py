"""Official snapshots come back bit for bit and build our networks."""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from functools import partial

import numpy as np
import pytest
import torch
from official_format import (
    Call,
    dumps,
    persist,
    write_snapshot,
)
from official_networks import (
    D_KWARGS,
    G_KWARGS,
    TRAINING_SET,
    make_discriminator,
    make_generator,
    make_snapshot,
    official,
    only_ema,
)

from vesselforge.generator.checkpoint import load_official
from vesselforge.generator.networks import Discriminator, Generator


@pytest.fixture
def write(tmp_path):
    return partial(write_snapshot, tmp_path)


def assert_same(read, network):
    """Same keys in the same order, same types and bits; plain tensors that own their memory."""
    wanted = network.state_dict()
    assert list(read.tensors) == list(wanted)
    for name, tensor in read.tensors.items():
        assert tensor.dtype == wanted[name].dtype and tensor.shape == wanted[name].shape, name
        assert tensor.numpy().tobytes() == wanted[name].numpy().tobytes(), name
        assert tensor.is_contiguous() and not tensor.requires_grad, name
        assert tensor.untyped_storage().nbytes() == tensor.nbytes, name


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("ordered", [True, False])
def test_snapshot_comes_back_bit_for_bit(write, protocol, ordered):
    g, ema = make_generator(1), make_generator(2)
    d = make_discriminator(frozen=["b16.fromrgb", "b16.conv0"])
    path = write(make_snapshot(g, d, ema, ordered=ordered), protocol)
    snapshot = load_official(path)
    assert_same(snapshot.G, g)
    assert_same(snapshot.D, d)
    assert_same(snapshot.G_ema, ema)
    assert snapshot.G.kwargs == snapshot.G_ema.kwargs == G_KWARGS
    assert snapshot.D.kwargs == D_KWARGS
    assert snapshot.training_set == TRAINING_SET
    assert snapshot.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert snapshot.sha256 in snapshot.origin and "non-commercial" in snapshot.origin
    assert not {"torch_utils", "dnnlib"} & sys.modules.keys()


def test_read_generator_draws_the_same_image(write):
    ours = make_generator()
    read = load_official(write(only_ema(ours, G_KWARGS))).G_ema
    theirs = Generator(**read.kwargs).eval()
    theirs.load_state_dict(read.tensors, strict=True)
    z, c = torch.randn(2, 8), torch.eye(3)[:2]
    images = [net(z, c, truncation_psi=0.7, noise_mode="const") for net in (ours, theirs)]
    assert torch.equal(*images)


def test_read_discriminator_gives_the_same_logits(write):
    ours = make_discriminator(frozen=["b16.conv1"])
    read = load_official(write({"D": persist(ours, official(D_KWARGS))})).D
    theirs = Discriminator(**read.kwargs).eval()
    theirs.load_state_dict(read.tensors, strict=True)
    image, c = torch.randn(2, 3, 16, 16), torch.eye(3)[:2]
    assert torch.equal(ours(image, c), theirs(image, c))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(write, dtype):
    ours = make_generator().to(dtype)
    tensors = load_official(write(only_ema(ours, G_KWARGS))).G_ema.tensors
    for name, tensor in ours.state_dict().items():
        assert tensors[name].dtype == dtype and torch.equal(tensors[name], tensor)


def test_every_element_type_and_strange_bits(write):
    network = persist(make_generator(), official(G_KWARGS))
    values = {
        str(dtype).split(".")[1]: torch.tensor([[0, 1, 1], [1, 0, 1]]).to(dtype)
        for dtype in (
            torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
            torch.float16, torch.bfloat16, torch.float32, torch.float64,
        )
    }  # fmt: skip
    values["nan"] = torch.tensor([0x7FC00001, -1, -0x80000000], dtype=torch.int32).view(
        torch.float32
    )
    network.meta["state"]["_buffers"] = dict(values)
    read = load_official(write({"G_ema": network})).G_ema.tensors
    for name, value in values.items():
        assert read[name].dtype == value.dtype
        assert torch.equal(read[name].view(torch.uint8), value.view(torch.uint8))


def test_channels_last_offsets_and_transposes(write):
    ours = make_generator().to(memory_format=torch.channels_last)
    assert not ours.synthesis.b4.conv1.weight.is_contiguous()
    mapping = ours.mapping
    mapping.fc0.weight.data = mapping.fc0.weight.data.t().contiguous().t()
    mapping.w_avg = torch.cat([torch.randn(5), mapping.w_avg, torch.randn(2)])[5:13]
    assert mapping.w_avg.storage_offset() == 5
    assert_same(load_official(write(only_ema(ours, G_KWARGS))).G_ema, ours)


@pytest.mark.parametrize("package", ["_core", "core"])
def test_numpy_numbers(write, package):
    numbers = {
        "a": np.float64(0.125), "b": np.float32(1.5), "c": np.int64(-3), "d": np.bool_(True),
        "e": np.float16(2), "f": np.array(7, ">i4")[()], "g": np.uint8(200),
    }  # fmt: skip
    big = np.dtype(">f8")
    numbers["h"] = Call(np._core.multiarray.scalar, big, np.array(0.5, big).tobytes())
    data = dumps(make_snapshot(training_set_kwargs=numbers))
    data = data.replace(b"cnumpy._core.multiarray\n", f"cnumpy.{package}.multiarray\n".encode())
    found = load_official(write(data)).training_set
    wanted = {"a": 0.125, "b": 1.5, "c": -3, "d": True, "e": 2.0, "f": 7, "g": 200, "h": 0.5}
    assert found == wanted
    assert [type(value) for value in found.values()] == [type(v) for v in wanted.values()]


def test_arguments_are_plain_json(write):
    kwargs = copy.deepcopy(G_KWARGS)
    kwargs["synthesis_kwargs"]["resample_filter"] = (1, 3, np.int64(3), 1)
    found = load_official(write(only_ema(make_generator(), kwargs))).G_ema.kwargs
    assert found["synthesis_kwargs"]["resample_filter"] == [1, 3, 3, 1]
    assert json.loads(json.dumps(found)) == found
    assert type(found) is type(found["mapping_kwargs"]) is dict


def test_arguments_by_position(write):
    rest = {name: G_KWARGS[name] for name in ("mapping_kwargs", "synthesis_kwargs")}
    path = write(only_ema(make_generator(), rest, args=(8, 3, 8, 16, 3)))
    assert load_official(path).G_ema.kwargs == G_KWARGS


def test_missing_networks_are_none(write):
    snapshot = load_official(write(only_ema(make_generator(), G_KWARGS)))
    assert snapshot.G is snapshot.D is snapshot.training_set is None


def test_shared_and_non_persistent_tensors(write):
    ours = make_generator()
    ours.register_buffer("scratch", torch.ones(3), persistent=False)
    ours.mapping.fc1.bias = ours.mapping.fc0.bias
    assert_same(load_official(write(only_ema(ours, G_KWARGS))).G_ema, ours)
