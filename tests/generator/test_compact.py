"""A generator's folder in half precision: the same pictures, half the bytes, or a refusal."""

from __future__ import annotations

import json

import pytest
import torch
from generator_helpers import tiny
from safetensors.torch import load_file
from small_generators import write_generator

from vesselforge.configs.errors import CheckpointError
from vesselforge.engine.checkpoints import save_tensors
from vesselforge.generator.compact import compact
from vesselforge.generator.networks import Discriminator
from vesselforge.generator.trained import (
    AVERAGE,
    DESCRIPTION,
    DISCRIMINATOR,
    load_discriminator,
    load_generator,
)
from vesselforge.generator.transfer.start import begin
from vesselforge.generator.values import Channels

D = {"c_dim": 0, "img_resolution": 16, "img_channels": 4, "channel_base": 128, "channel_max": 8}


@pytest.fixture
def folder(tmp_path):
    """A generator of image and mask with its discriminator, and a list of snapshots."""
    facts = {"discriminator": D, "snapshots": [{"file": "snapshot-000004.safetensors"}]}
    path = write_generator(tmp_path / "whole", Channels("rgb+mask", 4), **facts)
    torch.manual_seed(2)
    save_tensors(path / DISCRIMINATOR, Discriminator(**D).state_dict())
    return path


@pytest.fixture
def out(tmp_path):
    (tmp_path / "half").mkdir()
    return tmp_path / "half"


def test_half_the_bytes_and_the_same_pictures(folder, out):
    found = compact(folder, out, "ours")
    whole, half = load_file(folder / AVERAGE), load_file(out / AVERAGE)
    assert whole.keys() == half.keys()
    assert {t.dtype for t in [*half.values(), *load_file(out / DISCRIMINATOR).values()]} == {
        torch.float16
    }
    for name, tensor in whole.items():
        assert torch.equal(half[name], tensor.half()), name
    weights = [*whole.values(), *load_file(folder / DISCRIMINATOR).values()]
    assert found["largest_weight"] == max(float(t.abs().max()) for t in weights)
    generator, described = load_generator(out)
    assert {p.dtype for p in generator.state_dict().values()} == {torch.float32}
    z = torch.randn(8, 8, generator=torch.Generator().manual_seed(9))
    images = [g(z, noise_mode="const").clamp(-1, 1) for g in (load_generator(folder)[0], generator)]
    levels = (images[0] - images[1]).abs() * 127.5
    assert levels.max() < 1 and levels.max() > 0
    assert found["within_a_level"] > 0.999 and 0 < found["largest_difference"] < 2
    assert described["provenance"] == {"start": "random weights", "origin": "ours"}
    assert "snapshots" not in described


def test_a_training_starts_from_it(folder, out):
    compact(folder, out, "ours")
    settings = tiny(start_from=out, channels="rgb+mask", mapping_layers=2)
    lines: list[str] = []
    begun = begin(settings, lines.append)
    assert lines[0] == "half: G is not in it: G_ema stands in"
    assert begun.provenance["origin"] == "ours"
    average = load_generator(out)[0].state_dict()
    for name, tensor in begun.generator.state_dict().items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, average[name]), name
    critic = load_discriminator(out).state_dict()
    assert all(torch.equal(t, critic[n]) for n, t in begun.discriminator.state_dict().items())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (70_000.0, "holds a weight of"),
        (float("nan"), r"tensor b4\.out\.bias holds values that are NaN or infinite"),
        (float("inf"), r"tensor b4\.out\.bias holds values that are NaN or infinite"),
    ],
)
def test_what_float16_cannot_hold(folder, out, value, message):
    tensors = load_file(folder / DISCRIMINATOR)
    tensors["b4.out.bias"][0] = value
    save_tensors(folder / DISCRIMINATOR, tensors)
    with pytest.raises(CheckpointError, match=rf"discriminator\.safetensors: {message}"):
        compact(folder, out, "ours")


def test_pictures_that_change_are_refused(folder, out, monkeypatch):
    monkeypatch.setattr("vesselforge.generator.compact.LEVEL", 2 / 65535)
    with pytest.raises(CheckpointError, match=r"in float16 only .* of the pixels keep their grey"):
        compact(folder, out, "ours")


def test_without_a_discriminator_there_is_nothing_to_adapt(folder, out):
    (folder / DISCRIMINATOR).unlink()
    with pytest.raises(CheckpointError, match=r"discriminator\.safetensors: no such weight file"):
        compact(folder, out, "ours")
    assert json.loads((folder / DESCRIPTION).read_text())["snapshots"]
