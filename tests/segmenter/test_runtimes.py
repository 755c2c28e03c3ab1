"""Runtimes and exported files: the same probabilities everywhere, for any size."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx_maps import onnx_map
from segmenter_helpers import hashes, phantom_image, settled

from vesselforge.configs.errors import CheckpointError, ConfigError
from vesselforge.segmenter.inference import onnx_segmenter as exporting
from vesselforge.segmenter.inference.onnx_segmenter import Combined, export, onnx_runner
from vesselforge.segmenter.model_files import Member, save_model
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.networks import build

pytestmark = pytest.mark.slow

NETWORKS = {"sa-unet": {"width": 4}, "sa-unet-v2": {"width": 8}, "unet-18": {"width": 4}}
ENSEMBLE = ["sa-unet-v2", "unet-18"]
SIZES = [(64, 80), (37, 53), (5, 120), (1, 1)]
CPU = torch.device("cpu")


def saved(folder: Path, *names: str) -> Path:
    torch.manual_seed(0)
    members = []
    for name in names:
        network = settled(build(name, **NETWORKS[name]))
        member = Member(name, NETWORKS[name], f"{name}.safetensors")
        members.append((member, network.state_dict()))
    save_model(folder, members, 0.4)
    return folder


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks of two kinds: GroupNorm and BatchNorm."""
    return saved(tmp_path_factory.mktemp("ensemble"), *ENSEMBLE)


@pytest.fixture(scope="module")
def exported(ensemble: Path) -> Path:
    """m.onnx of the ensemble."""
    folder = ensemble / "exported"
    folder.mkdir()
    (ensemble / "manifest.json").write_text('{"kind": "segmenter.train", "digest": "0123"}')
    made = export(ensemble, folder / "m.onnx")
    assert made["difference"] <= 1e-4 and made["networks"] == ENSEMBLE
    assert list(hashes(folder)) == ["m.onnx"]  # nothing left aside
    return folder


def test_an_exported_ensemble_predicts_as_its_folder(ensemble, exported):
    wanted = Model.load(ensemble, CPU)
    for height, width in SIZES:
        image = phantom_image(1, 128)[:height, :width]
        expected = wanted.predict(image)
        assert np.abs(onnx_map(exported / "m.onnx", image) - expected).max() <= 1e-4
    assert np.ptp(wanted.predict(phantom_image(1, 128))) > 0.05  # not all the same


def test_several_images_at_once(ensemble, exported):
    images = torch.rand(3, 3, 41, 50)
    wanted = Model.load(ensemble, CPU).run(images)
    found = onnx_runner((exported / "m.onnx").read_bytes())(images)
    assert found.shape == (3, 1, 41, 50)
    torch.testing.assert_close(found, wanted.mean(1, keepdim=True), atol=1e-4, rtol=0)


def test_what_an_onnx_file_says_and_what_it_does_not(ensemble, exported):
    content = (exported / "m.onnx").read_bytes()
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}  # folded
    (image,), (prob,) = model.graph.input, model.graph.output
    sides = [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim]
    assert (image.name, sides) == ("image", ["batch", 3, "height", "width"])
    assert prob.name == "vessel_probability"
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert float(facts["threshold"]) == 0.4
    described = json.loads(facts["networks"])
    assert [entry["network"] for entry in described] == ENSEMBLE
    assert described[0]["sha256"] == hashes(ensemble)["sa-unet-v2.safetensors"]
    assert facts["training"] == "segmenter.train/0123"
    for file in exported.iterdir():  # tracebacks of the exporter would name this machine's folders
        assert not re.search(rb"site-packages|\.py\b", file.read_bytes())


def test_a_graph_that_differs_is_not_written(exported, tmp_path, monkeypatch):
    folder = saved(tmp_path / "m", "sa-unet")
    other = onnx.load(exported / "m.onnx")  # of other networks
    monkeypatch.setattr(exporting, "graph_of", lambda module: other)
    with pytest.raises(CheckpointError, match=r"other probabilities in .* at most 0\.0001"):
        export(folder, tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_nan_is_a_difference():
    def broken(images):
        return images[:, :1] * float("nan")

    with pytest.raises(CheckpointError, match="other probabilities in ONNX Runtime"):
        exporting.check(broken, Combined([settled(build("sa-unet", width=4))]))


def test_what_cannot_be_exported_or_run_is_said_before_any_work(ensemble, exported, tmp_path):
    out = exported / "m.onnx"
    before = hashes(exported)
    for place, fault in (
        (out, "exists already; choose another name, or give --force"),
        (tmp_path / "m.pt", r"expected \.onnx"),
        (tmp_path / "no" / "m.onnx", "there is no folder"),
        (tmp_path / "m.onnx", "no model here"),
    ):
        with pytest.raises((ConfigError, CheckpointError), match=fault):
            export(tmp_path, place)
    assert hashes(exported) == before
    for file in (out, ensemble / "ensemble.json"):
        with pytest.raises(CheckpointError, match="no model here; expected a folder"):
            Model.load(file)
    with pytest.raises(ConfigError, match="found 'tf', expected one of torch, auto"):
        Model.load(ensemble, CPU, "tf")


def test_a_missing_package_names_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"pip install 'vesselforge\[onnx\]'"):
        export(saved(tmp_path / "m", "sa-unet"), tmp_path / "m.onnx")
    assert not list(tmp_path.glob("m.*"))


def test_a_model_cuts_large_images_and_says_how_far_it_is(tmp_path):
    model = Model.load(saved(tmp_path, "sa-unet"), CPU)
    image = np.tile(phantom_image(1, 128), (5, 1, 1))[:, :100]
    whole = model.predict(image)
    model.side = 528
    shares: list[float] = []
    found = model.predict(image, flips=True, notify=shares.append)
    np.testing.assert_allclose(model.predict(image), whole, atol=1e-5)
    assert shares == [pytest.approx(i / 8) for i in range(1, 9)]  # four mirrors of two tiles
    assert found.dtype == np.float32
