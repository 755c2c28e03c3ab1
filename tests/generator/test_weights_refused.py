"""Weights that are no finite numbers, files of the wrong kind: each is refused in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from generator_helpers import tiny, write_image_set
from official_format import Persistent, persist, write_snapshot
from official_networks import G_KWARGS, make_generator, official
from small_generators import write_generator
from typer.testing import CliRunner

import vesselforge.generator.onnx_export as exporting
from vesselforge.cli.main import main
from vesselforge.configs.errors import CheckpointError
from vesselforge.engine.checkpoints import load_tensors, save_tensors
from vesselforge.engine.progress import Progress
from vesselforge.generator.training.train import train
from vesselforge.generator.transfer.start_weights import import_official

pytestmark = pytest.mark.slow

NOT_FINITE = "holds values that are NaN or infinite"


def refused(*typed: str | Path) -> str:
    done = CliRunner().invoke(main, ["generator", *map(str, typed)])
    assert done.exit_code == 2, done.output
    return done.stderr


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_generator(tmp_path_factory.mktemp("generator") / "g", c_dim=3)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(good: Path, tmp_path: Path, value: float) -> None:
    folder = Path(shutil.copytree(good, tmp_path / "g"))
    weights = load_tensors(folder / "generator.safetensors")[0]
    weights["synthesis.b8.conv0.weight"][0, 0, 0, 0] = value
    save_tensors(folder / "generator.safetensors", weights)
    for typed in (["draw", folder, "-o", "x"], ["export", folder, "-o", tmp_path / "x.onnx"]):
        line = refused(*typed)
        assert line.startswith("error: ") and line.count("\n") == 1
        assert f"tensor synthesis.b8.conv0.weight {NOT_FINITE}" in line
    network = make_generator()
    network.synthesis.b8.conv0.weight.data[0] = value
    path = write_snapshot(tmp_path, {"G_ema": persist(network, official(G_KWARGS))})
    with pytest.raises(CheckpointError, match=NOT_FINITE):
        import_official(path, tmp_path / "imported")
    images = {"images": write_image_set(tmp_path / "images")}
    with pytest.raises(CheckpointError, match=NOT_FINITE):
        train(tiny(start_from=path, adapt=True), images, tmp_path, Progress())


def test_an_export_that_draws_no_numbers_is_not_written(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "difference", lambda *_: float("nan"))
    assert "relative difference nan" in refused("export", good, "-o", tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize("asked_for", [False, True])
def test_an_official_generator_without_the_mean_of_w(tmp_path: Path, asked_for: bool) -> None:
    options = {"num_layers": 2} | ({"w_avg_beta": None} if asked_for else {})
    kwargs = {**G_KWARGS, "mapping_kwargs": options}
    network = make_generator(mapping_kwargs=options)
    network.mapping._buffers.pop("w_avg", None)
    path = write_snapshot(tmp_path, {"G_ema": persist(network, official(kwargs))})
    with pytest.raises(CheckpointError, match=r"w_avg is missing|keeps no w_avg"):
        import_official(path, tmp_path / "imported")


def test_weights_in_the_place_of_a_folder(good: Path, tmp_path: Path) -> None:
    weights = good / "generator.safetensors"
    assert (
        "weights alone, without the description of their network; expected a folder with "
        f"generator.json in it: give {good}" in refused("draw", weights, "-o", "x")
    )
    line = refused("import", weights, "-o", tmp_path / "x")
    assert "found a safetensors file" in line and "give its folder" in line


def test_stylegan3_is_called_that(tmp_path: Path) -> None:
    node = {"_parameters": {}, "_buffers": {}, "_modules": {}, "size": np.zeros(2)}
    inner = {"input": Persistent("SynthesisInput", node)}
    synthesis = Persistent("SynthesisNetwork", {**node, "_modules": inner})
    top = Persistent("Generator", {**node, "_modules": {"synthesis": synthesis}})
    path = write_snapshot(tmp_path, {"G_ema": top})
    line = refused("import", path, "-o", tmp_path / "x")
    assert "a StyleGAN3 network, which is not supported" in line


@pytest.mark.parametrize("typed", ["nan", "inf", "1.5"])
def test_a_class_that_is_no_number(good: Path, tmp_path: Path, typed: str) -> None:
    assert "valid integer" in refused("draw", good, "-o", tmp_path / "x", "--class", typed)
