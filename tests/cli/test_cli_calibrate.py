"""`segmenter calibrate` as it is typed: a model and labelled images in, a model out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from vesselforge.cli.main import main
from vesselforge.data.datasets import named_dataset
from vesselforge.data.layouts.splits import TEST
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.segmenter.model_files import Member, save_model
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.networks import build


def command(*arguments: str | Path):
    return CliRunner().invoke(main, ["segmenter", *map(str, arguments)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    tensors = build("sa-unet", width=4).state_dict()
    member = Member("sa-unet", {"width": 4}, "model.safetensors")
    save_model(folder, [(member, tensors)], 0.5)
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    for number in range(8):
        phantom = make_phantom(number, 72)
        for kind, pixels in (("images", phantom.image), ("masks", phantom.mask)):
            (folder / kind).mkdir(exist_ok=True)
            pixels = pixels if kind == "images" else pixels.astype(np.uint8) * 255
            Image.fromarray(pixels).save(folder / kind / f"eye{number}.png")
    return folder


def test_a_copy_is_calibrated_on_development_images_alone(
    model: Path, images: Path, tmp_path: Path
) -> None:
    test = [item.image for item in named_dataset(str(images)) if item.split == TEST]
    assert len(test) == 2
    before = {path: path.read_bytes() for path in model.iterdir()}
    done = command("calibrate", model, images, "-o", tmp_path / "new", "--json")
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert (made["images"], made["folder"]) == (6, str(tmp_path / "new"))
    assert made["after"]["ece"] < made["before"]["ece"]
    assert {path: path.read_bytes() for path in model.iterdir()} == before
    copied = Model.load(tmp_path / "new")
    assert copied.threshold == made["threshold"]
    (network,) = copied.networks
    assert made["calibration"] == [{"temperature": network.temperature, "shift": network.shift}]
    for path in test:  # test images are not looked at: others there change nothing
        Image.fromarray(np.zeros((72, 72, 3), np.uint8)).save(path)
    again = command("calibrate", model, images, "-o", tmp_path / "again", "--json")
    assert json.loads(again.stdout) == made | {"folder": str(tmp_path / "again")}
    fewer = command("calibrate", model, images, "-o", tmp_path / "few", "--no-components")
    assert fewer.exit_code == 0, fewer.output
    assert "on the 6 images" in fewer.stdout and "people" in fewer.stdout
    assert "temperature" in fewer.stdout and "pixels" not in fewer.stdout
    assert "components" not in json.loads((tmp_path / "few" / "model.json").read_text())


def test_what_is_in_the_way_or_of_no_use_is_said(model: Path, tmp_path: Path, images: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "model.json").write_text("{}")
    done = command("calibrate", model, images, "-o", tmp_path / "taken")
    assert done.exit_code == 2 and "holds a model already" in done.stderr
    (tmp_path / "bare").mkdir()
    for number in range(3):
        Image.fromarray(make_phantom(number, 72).image).save(tmp_path / "bare" / f"{number}.png")
    done = command("calibrate", model, tmp_path / "bare", "-o", tmp_path / "new")
    assert done.exit_code == 2 and "images with masks, expected a known dataset" in done.stderr
    done = command("calibrate", tmp_path / "bare", images, "-o", tmp_path / "new")
    assert done.exit_code == 2
    assert {path.name for path in tmp_path.iterdir()} == {"taken", "bare"}


def test_a_temperature_that_cannot_be_is_one_line(
    model: Path, images: Path, tmp_path: Path
) -> None:
    for found in ("0", "-1.5", "NaN"):
        folder = tmp_path / found
        folder.mkdir()
        text = (model / "model.json").read_text()
        text = text.replace('"network"', f'"temperature": {found}, "network"')
        (folder / "model.json").write_text(text)
        (folder / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
        done = command("predict", folder, images / "images", "-o", tmp_path / "out")
        assert done.exit_code == 2
        (line,) = done.stderr.strip().splitlines()
        assert f"{folder / 'model.json'}: members.0.temperature: " in line
        assert "expected the description of a model" in line and f"found {found.lower()}" in line
