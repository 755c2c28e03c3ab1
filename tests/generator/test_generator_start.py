"""Starting from trained networks: what fits, what is refused with advice, what is adapted."""

from __future__ import annotations

import json

import pytest
import torch
from generator_helpers import StopAfter, as_artifact, tiny, write_image_set
from official_format import persist, write_snapshot
from official_networks import (
    D_KWARGS,
    G_KWARGS,
    make_discriminator,
    make_generator,
    make_snapshot,
    official,
    only_ema,
)

from vesselforge.configs.errors import CheckpointError, ConfigError
from vesselforge.engine.checkpoints import save_tensors
from vesselforge.engine.progress import Interrupted
from vesselforge.generator.trained import (
    AVERAGE,
    CURRENT,
    DESCRIPTION,
    DISCRIMINATOR,
    load_discriminator,
    load_generator,
)
from vesselforge.generator.training.train import train
from vesselforge.generator.transfer.start import begin

pytestmark = pytest.mark.slow

FITTING = {
    "channel_base": 64, "channel_max": 8, "latent": 8, "mapping_layers": 2, "labels": True,
}  # fmt: skip


@pytest.fixture
def pkl(tmp_path):
    return write_snapshot(tmp_path, make_snapshot())


@pytest.fixture
def folder(tmp_path):
    """A generator's folder, as a training leaves it, with three different networks."""
    path = tmp_path / "trained"
    path.mkdir()
    networks = {
        CURRENT: make_generator(1),
        AVERAGE: make_generator(2),
        DISCRIMINATOR: make_discriminator(),
    }
    for name, network in networks.items():
        save_tensors(path / name, network.state_dict())
    description = {
        "generator": G_KWARGS,
        "discriminator": D_KWARGS,
        "presentation": "full",
        "resolution": 16,
        "channels": {"kind": "rgb", "count": 3, "bits": 8},
        "native_size": None,
        "provenance": {"origin": "somebody else's weights"},
    }
    (path / DESCRIPTION).write_text(json.dumps(description))
    return path


def start(source, c_dim=3, **changes):
    lines = []
    settings = tiny(**(FITTING | {"start_from": source} | changes))
    begun = begin(settings, lines.append, None, c_dim)
    return begun, lines


def assert_holds(network, reference):
    for name, tensor in reference.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name


def refused(source, **changes):
    with pytest.raises(CheckpointError) as caught:
        start(source, **changes)
    message = str(caught.value)
    assert str(source) in message and "\n" not in message
    return message


@pytest.mark.parametrize("kind", ["pkl", "folder"])
def test_all_three_networks_arrive(kind, request):
    begun, lines = start(request.getfixturevalue(kind), freeze_d=2)
    assert begun.average is not None
    assert_holds(begun.generator, make_generator(1))
    assert_holds(begun.average, make_generator(2))
    assert_holds(begun.discriminator, make_discriminator())
    assert begun.generator_kwargs["synthesis_kwargs"]["conv_clamp"] == 256  # of the file
    trained = dict(begun.discriminator.named_parameters())
    assert "b16.conv0.weight" not in trained and "b16.conv1.weight" in trained
    count = len(make_generator().state_dict())
    assert lines[0] == f"G: {count} tensors loaded"
    assert [line.split()[0] for line in lines] == ["G:", "D:", "G_ema:"]
    assert begun.provenance["origin"]
    assert begun.provenance["tensors"][0] == {
        "network": "G", "what": "loaded", "count": count,
    }  # fmt: skip


def test_an_earlier_training_comes_before_start_from(folder):
    settings = tiny(**FITTING, start_from=folder / "nowhere.pkl", mbstd_group=2)
    begun = begin(settings, lambda line: None, as_artifact(folder, "generator.train"), 3)
    assert begun.provenance["start"] == "generator.train trained"
    assert begun.provenance["origin"] == "somebody else's weights"
    assert begun.discriminator.b4.mbstd_group_size == 2  # which has no weights, so may differ


@pytest.mark.parametrize("kind", ["pkl", "folder"])
@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"resolution": 32}, "set generator.resolution: 16; or set generator.adapt: true"),
        ({"channels": "grey"}, "set generator.channels: rgb; or set generator.adapt: true"),
        ({"labels": False}, "set generator.labels: true (labels of length 3); or set"),
        ({"c_dim": 5}, "set generator.labels: true (labels of length 3)"),
        ({"mapping_layers": 1}, "set generator.mapping_layers: 2"),
        ({"latent": 16}, "set generator.latent: 8"),
        ({"channel_base": 128, "channel_max": 16}, "channel_base: 64, generator.channel_max: 8"),
        ({"conv_clamp": 128.0}, "set generator.conv_clamp: 256"),
    ],
)
def test_what_does_not_fit_is_named_with_its_setting(kind, changes, advice, request):
    source = request.getfixturevalue(kind)
    assert advice in refused(source, **changes)
    if not {"resolution", "channels", "labels", "c_dim"} & changes.keys():
        message = refused(source, **changes, adapt=True)
        assert advice in message and "adapt: true" not in message


def test_widths_count_not_the_settings_behind_them(pkl):
    # 64 // 16 = 4 channels at 16 x 16 either way; at 4 x 4 and 8 x 8 the maximum of 8 decides
    begun, _ = start(pkl, channel_base=70)
    assert_holds(begun.generator, make_generator(1))


def test_an_adapted_start(pkl):
    begun, lines = start(pkl, c_dim=5, resolution=32, channels="grey", adapt=True)
    assert begun.generator.img_resolution == begun.discriminator.img_resolution == 32
    assert begun.generator.img_channels == begun.discriminator.img_channels == 1
    assert begun.generator.c_dim == begun.discriminator.c_dim == 5
    assert any("mapped to other channels: synthesis.b4.torgb" in line for line in lines)
    new = begun.generator.synthesis.b32.conv0.weight
    assert torch.equal(new, begun.average.synthesis.b32.conv0.weight)
    rows = begun.provenance["tensors"]
    for slot, network in (("G", begun.generator), ("D", begun.discriminator)):
        kept = [row for row in rows if row["network"] == slot and row["what"] != "unused"]
        assert sum(row["count"] for row in kept) == len(network.state_dict())
        named = [name for row in kept for name in row.get("names", [])]
        assert len(named) == len(set(named))
        assert set(named) <= network.state_dict().keys()
    json.dumps(begun.provenance)


def test_the_same_seed_begins_the_same(pkl):
    one, two = (start(pkl, resolution=32, adapt=True)[0] for _ in range(2))
    assert_holds(one.generator, two.generator)
    assert_holds(one.discriminator, two.discriminator)
    other = start(pkl, resolution=32, adapt=True, seed=1)[0].generator.synthesis.b32.conv0.weight
    assert not torch.equal(one.generator.synthesis.b32.conv0.weight, other)


def test_what_the_file_lacks_is_said(tmp_path):
    path = write_snapshot(tmp_path, only_ema(make_generator(2), G_KWARGS))
    begun, lines = start(path)
    assert_holds(begun.generator, make_generator(2))
    assert_holds(begun.average, make_generator(2))
    assert begun.discriminator.b16.conv0.conv_clamp == 256  # of the generator in the file
    assert "network-snapshot-000123.pkl: G is not in it: G_ema stands in" in lines
    assert any(line.startswith("D: ") and " new: " in line for line in lines)


def test_no_generator_no_start(tmp_path):
    path = write_snapshot(tmp_path, {"D": persist(make_discriminator(), official(D_KWARGS))})
    assert "holds no generator, only D" in refused(path)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: t.pop("b16.conv0.bias"), "b16.conv0.bias is missing from the file"),
        (lambda t: t.update({"b99.x": torch.zeros(2)}), "b99.x is unknown to the network"),
        (
            lambda t: t.update({"b4.fc.bias": torch.zeros(9)}),
            "b4.fc.bias has shape [9]",
        ),
    ],
)
def test_a_network_that_is_not_its_own_description(folder, change, fault):
    tensors = make_discriminator().state_dict()
    change(tensors)
    save_tensors(folder / DISCRIMINATOR, tensors)
    assert fault in refused(folder)
    assert fault in refused(folder, adapt=True)


def test_files_that_are_no_start(folder, tmp_path):
    assert "safetensors" in refused(folder / AVERAGE)
    (tmp_path / "empty").mkdir()
    assert "generator.json: cannot be read" in refused(tmp_path / "empty")
    assert "No such file" in refused(tmp_path / "nothing.pkl")


def test_random_weights_are_not_frozen():
    with pytest.raises(ConfigError, match=r"freeze_d: 3 .* set generator.start_from"):
        begin(tiny(freeze_d=3), print)


def test_a_training_from_an_adapted_snapshot(pkl, tmp_path):
    """Grey and unconditional at twice the size, with two layers of D frozen; resumed once."""
    images = {"images": write_image_set(tmp_path / "images")}
    settings = tiny(
        steps=2, **(FITTING | {"labels": False}), start_from=pkl, adapt=True, channels="grey",
        resolution=32, freeze_d=2, lr=1e-7, deliver="last", checkpoint_every=1, snapshot_images=0,
    )  # fmt: skip
    out = tmp_path / "out"
    out.mkdir()
    progress = StopAfter(1)
    with pytest.raises(Interrupted):
        train(settings, images, out, progress)
    assert sum(line.startswith("G_ema: ") for line in progress.lines) >= 1
    again = StopAfter(99)
    train(settings, images, out, again)
    assert not any(line.startswith("G_ema: ") for line in again.lines)  # no second start
    average, description = load_generator(out)
    begun, _ = start(pkl, c_dim=0, labels=False, adapt=True, channels="grey", resolution=32)
    for name, tensor in begun.average.named_parameters():  # 0.4 % nearer to G after two steps
        moved = (average.get_parameter(name) - tensor).abs()
        way = (begun.generator.get_parameter(name) - tensor).abs()
        assert (moved <= 0.01 * way + 1e-4).all(), name
    frozen = load_discriminator(out)
    assert torch.equal(frozen.b32.conv0.weight, begun.discriminator.b32.conv0.weight)
    assert not torch.equal(frozen.b32.conv1.weight, begun.discriminator.b32.conv1.weight)
    assert "non-commercial" in description["provenance"]["origin"]
    assert {row["what"] for row in description["provenance"]["tensors"]} == {
        "loaded", "mapped to other channels", "new", "unused",
    }  # fmt: skip
