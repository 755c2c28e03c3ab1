"""Keras files of either layout give the golden logits, or one error that says what is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import keras_writer as keras
import numpy as np
import pytest
import torch
from PIL import Image
from segmenter_helpers import members_of
from test_networks import GOLDEN
from typer.testing import CliRunner

from vesselforge.cli.main import main
from vesselforge.configs.errors import CheckpointError, ConfigError
from vesselforge.engine.files import file_sha256
from vesselforge.segmenter.exchange.keras import import_keras, slots
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.networks import build
from vesselforge.segmenter.networks.sa_unet import VARIANTS

pytestmark = pytest.mark.slow


def logits_of(folder: Path) -> list[float]:
    ((member, tensors),) = members_of(folder)
    network = build(member.network, **member.options).eval()
    network.load_state_dict(tensors)
    index = torch.arange(64, dtype=torch.float64)
    wave = [torch.sin(0.3 * index[:, None] + 0.2 * index[None] + c) for c in range(3)]
    logits = network.double()(0.5 + 0.5 * torch.stack(wave)[None])[0, 0].detach()
    return [float(v) for v in (*logits[(0, 0, 31, 63), (0, 63, 40, 63)], logits.mean())]


def gives_golden_logits(path: Path, out: Path, network: str) -> None:
    assert import_keras(path, out)["network"] == network
    np.testing.assert_allclose(logits_of(out), GOLDEN[network], atol=2e-5)


LAYOUTS: dict[str, Callable[[Path, keras.Model], Path]] = {
    "Keras 2 weights": keras.keras2_weights,
    "Keras 2 model": keras.keras2_model,
}


@pytest.mark.parametrize("network", GOLDEN)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_golden_logits(layout: str, network: str, tmp_path: Path) -> None:
    path = LAYOUTS[layout](tmp_path / "published", keras.golden_model(network, start=17))
    gives_golden_logits(path, tmp_path / "model", network)
    origin = json.loads((tmp_path / "model" / "import.json").read_text())
    assert origin["source"] == "published"
    assert origin["layers"]["head"] == f"conv2d_{17 + (15 if network == 'sa-unet' else 18)}"
    assert Model.load(tmp_path / "model").threshold == 0.5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_of_ones_own_do_not_matter(layout: str, tmp_path: Path) -> None:
    path = LAYOUTS[layout](tmp_path / "published", keras.golden_model("sa-unet", custom=True))
    gives_golden_logits(path, tmp_path / "model", "sa-unet")


@pytest.mark.parametrize("network", GOLDEN)
def test_a_model_used_as_a_layer(network: str, tmp_path: Path) -> None:
    inner = keras.golden_model(network)
    path = tmp_path / "wrapped.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("model_1")
        # Trainable weights come first, running statistics after all of them.
        names = [(layer, role) for layer in inner.layers for role in layer.tensors]
        names.sort(key=lambda pair: "moving" in pair[1])
        for layer, role in names:
            group[f"{layer.name}/{role}:0"] = layer.tensors[role]
        group.attrs["weight_names"] = [f"{layer.name}/{role}:0" for layer, role in names]
        file.attrs["layer_names"] = ["input_1", "model_1"]
        file.create_group("input_1").attrs["weight_names"] = []
    gives_golden_logits(path, tmp_path / "model", network)


def test_our_order_of_layers_covers_every_weight() -> None:
    for name in VARIANTS:
        state = {key for key in build(name).state_dict() if "batches_tracked" not in key}
        assert len(state) == sum(len(slot.shapes) for slot in slots(name))


def fault(path: Path, tmp_path: Path, network: str = "auto") -> str:
    """The message with which an import is refused; it leaves nothing."""
    with pytest.raises(CheckpointError) as error:
        import_keras(path, tmp_path / "model", network)
    assert str(path) in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    return str(error.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tensor_of_another_shape_is_named_on_both_sides(layout: str, tmp_path: Path) -> None:
    model = keras.golden_model("sa-unet")
    model.of("conv2d_4").tensors["kernel"] = np.zeros((3, 3, 32, 48), dtype=np.float32)
    path = LAYOUTS[layout](tmp_path / "w", model)
    assert (
        "tensor conv2d_4/conv2d_4/kernel:0 has shape [3, 3, 32, 48], expected [3, 3, 32, 64] for "
        "encoder.2.0.0.weight of sa-unet"
    ) in fault(path, tmp_path, "sa-unet")
    assert "fits none of unet-18, " in fault(path, tmp_path)


def without(name: str, role: str | None = None) -> Callable[[keras.Model], None]:
    def change(model: keras.Model) -> None:
        tensors = model.of(name).tensors
        tensors.pop(role) if role else tensors.clear()

    return change


def swapped(model: keras.Model) -> None:
    a, b = model.of("conv2d_3"), model.of("conv2d_4")
    a.tensors, b.tensors = b.tensors, a.tensors


def doubled(model: keras.Model) -> None:
    model.add("Conv2D", "activation", tensors=dict(model.of("conv2d_2").tensors))


def poisoned(model: keras.Model) -> None:
    model.of("batch_normalization_3").tensors["beta"][5] = np.nan


def negative(model: keras.Model) -> None:
    model.of("batch_normalization_3").tensors["moving_variance"][5] = -1


def integer(model: keras.Model) -> None:
    kernel = model.of("conv2d_1").tensors["kernel"]
    model.of("conv2d_1").tensors["kernel"] = kernel.astype(np.int32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("conv2d_3", "bias"), "layer conv2d_3 has no bias of shape [32] for enc"),
        (
            without("batch_normalization_1", "moving_mean"),
            "has no moving_mean of shape [16] for",
        ),
        (without("conv2d_3"), "for encoder.1.1.0.weight of sa-unet (layers like this: found 18, e"),
        (without("conv2d_15"), "found no kernel of shape [1, 1, 16, 1] for head.weight of sa-unet"),
        (without("conv2d_7"), "for bottleneck.1.conv.weight of sa-unet (layers like this: found"),
        (
            swapped,
            "conv2d_3/kernel:0 has shape [3, 3, 32, 64], expected [3, 3, 32, 32] for encoder",
        ),
        (
            doubled,
            "conv2d_16/kernel:0 has shape [3, 3, 16, 32], expected no such one for any layer",
        ),
        (poisoned, "batch_normalization_3/beta:0 has 1 values that are NaN or infinite"),
        (negative, "batch_normalization_3/moving_variance:0 is a variance, but below 0"),
        (integer, "conv2d_1/kernel:0 is of type int32, expected numbers with a fraction"),
    ],
)
def test_what_is_wrong_is_named(
    change: Callable[[keras.Model], None], message: str, tmp_path: Path
) -> None:
    model = keras.golden_model("sa-unet")
    change(model)
    assert message in fault(keras.keras2_weights(tmp_path / "w.h5", model), tmp_path, "sa-unet")


def test_a_gate_with_a_bias_is_another_networks(tmp_path: Path) -> None:
    model = keras.golden_model("sa-unet")
    model.of("conv2d_7").tensors["bias"] = np.zeros(1, dtype=np.float32)
    message = fault(keras.keras2_weights(tmp_path / "w.h5", model), tmp_path, "sa-unet")
    assert "bias:0 has shape [1], expected no such one for bottleneck.1.conv of sa-unet" in message


def test_another_network_of_the_family_is_told_by_name(tmp_path: Path) -> None:
    path = keras.keras2_weights(tmp_path / "w.h5", keras.golden_model("sa-unet-v2"))
    assert "of sa-unet (layers like this" in fault(path, tmp_path, "sa-unet")


def test_weights_of_two_networks_alike_ask_which(tmp_path: Path) -> None:
    model = keras.golden_model("sa-unet")
    for layer in model.layers:
        if layer.name == "conv2d_7" or layer.class_name == "BatchNormalization":
            layer.tensors.clear()
    path = keras.keras2_weights(tmp_path / "w.h5", model)
    assert "fits unet-18 and sd-unet, which differ only in training" in fault(path, tmp_path)
    assert import_keras(path, tmp_path / "model", "sd-unet")["parameters"] == 535_793


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"epsilon": 1e-5}, "batch_normalization (BatchNormalization) has epsilon 1e-05, our ne"),
    ],
)
def test_arithmetic_that_shapes_do_not_show(config: dict, message: str, tmp_path: Path) -> None:
    path = keras.keras2_model(tmp_path / "w.h5", keras.golden_model("sa-unet", **config))
    assert message in fault(path, tmp_path)


def test_damaged_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    model = keras.golden_model("sa-unet-v2")
    whole = keras.keras2_model(tmp_path / "w.h5", model).read_bytes()
    for keep in (1000, len(whole) // 2, len(whole) - 1):
        (tmp_path / "w.h5").write_bytes(whole[:keep])
        assert "not a whole HDF5 file of Keras" in fault(tmp_path / "w.h5", tmp_path)
    (tmp_path / "w.h5").write_bytes(b"")
    assert "not a whole HDF5 file of Keras" in fault(tmp_path / "w.h5", tmp_path)
    with pytest.raises(CheckpointError, match=r"no such weight file; expected a \.h5 of Keras"):
        import_keras(tmp_path / "nowhere.h5", tmp_path / "model")


def test_files_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "other"
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros(3)
    assert "found no attribute layer_names" in fault(path, tmp_path)
    path.write_bytes(b"PK")
    assert "not a whole HDF5 file" in fault(path, tmp_path)


def test_nothing_is_read_from_elsewhere_or_of_absurd_size(tmp_path: Path) -> None:
    other = keras.keras2_weights(tmp_path / "other.h5", keras.golden_model("sa-unet"))
    room = tmp_path / "room"
    room.mkdir()
    path = room / "w.h5"
    name, last = "conv2d/conv2d", "kernel:0"
    keras.keras2_weights(path, keras.golden_model("sa-unet"))
    with h5py.File(path, "r+") as file:
        del file[name][last]
        file[name][last] = h5py.ExternalLink(str(other), "conv2d/conv2d/kernel:0")
    assert "missing or a link to elsewhere" in fault(path, room)
    with h5py.File(path, "r+") as file:
        del file[name][last]
        outside = [(str(other), 0, 1728)]
        file[name].create_dataset(last, (3, 3, 3, 16), dtype="f4", external=outside)
    assert "is no tensor stored in this file" in fault(path, room)
    with h5py.File(path, "r+") as file:
        del file[name][last]
        file[name].create_dataset(last, (9, 9, 2**16, 2**16), dtype="f4", chunks=(3, 3, 8, 8))
    assert "no network of this family has as many" in fault(path, room)


def test_without_h5py_the_way_to_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.h5").touch()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ConfigError, match=r"needs h5py; `pip install 'vesselforge\[keras\]'`"):
        import_keras(tmp_path / "w.h5", tmp_path / "m")


def test_from_a_published_file_to_a_vessel_map(tmp_path: Path) -> None:
    path = keras.keras2_model(tmp_path / "w.h5", keras.golden_model("sa-unet-v2"))
    run = CliRunner().invoke
    done = run(main, ["segmenter", "import", str(path), "-o", str(tmp_path / "m")])
    assert done.exit_code == 0, done.output
    assert "m: sa-unet-v2, 260,521 parameters as Keras counts them, threshold 0.5" in done.stdout
    assert f"SHA-256 {file_sha256(path)}" in done.stdout
    Image.fromarray(np.full((40, 56, 3), 90, dtype=np.uint8)).save(tmp_path / "eye.png")
    arguments = [str(tmp_path / name) for name in ("m", "eye.png")]
    done = run(main, ["segmenter", "predict", *arguments, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "out" / "eye_probability.png") as picture:
        assert picture.size == (56, 40)
    path.write_bytes(b"none")
    done = run(main, ["segmenter", "import", str(path), "-o", str(tmp_path / "n"), "--json"])
    assert (done.exit_code, (tmp_path / "n").exists()) == (2, False)


def test_bad_arguments(tmp_path: Path) -> None:
    path = keras.keras2_weights(tmp_path / "w.h5", keras.golden_model("sa-unet-v2"))
    with pytest.raises(ConfigError, match="--network: found 'sa2-net', expected one of auto, "):
        import_keras(path, tmp_path / "m", "sa2-net")
    with pytest.raises(ConfigError, match=r"--threshold: found 1\.5"):
        import_keras(path, tmp_path / "m", threshold=1.5)
    with pytest.raises(ConfigError, match="exists and is no model's folder"):
        import_keras(path, path)
    import_keras(path, tmp_path / "m", threshold=0.4)
    with pytest.raises(ConfigError, match="holds a model already; choose another name, or give"):
        import_keras(path, tmp_path / "m")
    import_keras(path, tmp_path / "m", force=True)
    assert Model.load(tmp_path / "m").threshold == 0.5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "w.h5"]
