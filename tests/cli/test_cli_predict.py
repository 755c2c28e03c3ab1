"""`segmenter predict` and `export` as they are typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx_maps import onnx_map
from PIL import Image
from typer.testing import CliRunner

from vesselforge.cli.main import main
from vesselforge.segmenter.model_files import Member, save_model
from vesselforge.segmenter.networks import build

pytestmark = pytest.mark.slow

PICTURE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)


def command(*arguments: str | Path):
    return CliRunner().invoke(main, ["segmenter", *map(str, arguments)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    options = {"width": 4}
    network = build("sa-unet", **options)
    member = Member("sa-unet", options, "model.safetensors")
    save_model(folder, [(member, network.state_dict())], 0.5)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(PICTURE).save(folder / "eye.png")
    return folder


def test_an_exported_file_gives_the_models_map(model, images, tmp_path):
    made = command("export", model, "-o", tmp_path / "m.onnx", "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["input"] == {"image": ["batch", 3, "height", "width"]}
    again = command("export", model, "-o", tmp_path / "m.onnx")
    assert again.exit_code == 2 and "give --force" in again.stderr
    done = command("predict", model, images, "-o", tmp_path / "out", "--bits", "16", "--json")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert (row["width"], row["height"], row["threshold"]) == (90, 70, 0.5)
    found = np.asarray(Image.open(tmp_path / "out" / "eye_probability.png")).astype(int)
    assert np.abs(found - 65535 * onnx_map(tmp_path / "m.onnx", PICTURE)).max() <= 9


def test_a_bad_file_among_good_ones_ends_with_status_2(model, images, tmp_path):
    (images / "zero.png").write_bytes(b"")
    done = command("predict", model, images, "-o", tmp_path / "out", "--flips", "--threshold", "0")
    assert done.exit_code == 2
    assert "90 x 70" in done.stdout and "zero" not in done.stdout
    assert "skipped" in done.stderr and "zero.png: cannot be read" in done.stderr
    mask = np.asarray(Image.open(tmp_path / "out" / "eye_mask.png"))
    assert (mask == 255).all()  # every probability is at least 0


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--bits", "12"], "--bits: found 12, expected 8 or 16"),
        (["--runtime", "tf"], "runtime: found 'tf', expected one of torch, auto, fast,"),
        (["--device", "tpu"], "--device: found tpu, expected auto, cpu or cuda"),
        (["--tile", "100"], "tile: found 100 pixels, expected at least"),
        (["--device", "cuda", "--runtime", "fast"], "cuda"),
    ],
)
def test_an_option_that_cannot_be(model, images, tmp_path, options, fault):
    done = command("predict", model, images, "-o", tmp_path / "out", *options)
    assert done.exit_code == 2 and fault in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_export_that_cannot_be(model, tmp_path):
    for options, fault in (
        (["-o", tmp_path / "m.pt"], "found the ending .pt, expected .onnx"),
        (["-o", tmp_path / "no" / "m.onnx"], "there is no folder"),
    ):
        done = command("export", model, *options)
        assert done.exit_code == 2 and fault in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


def test_ctrl_c_keeps_what_is_finished_and_writes_nothing_by_half(model, images, tmp_path):
    for number in range(400):
        os.link(images / "eye.png", images / f"{number:03d}.png")
    out = tmp_path / "out"
    typed = [sys.executable, "-m", "vesselforge", "segmenter", "predict", model, images, "-o", out]
    child = subprocess.Popen(typed, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (out / "002_mask.png").is_file():
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "of 401 images; their maps are kept" in said
    rows = (out / "summary.csv").read_text().splitlines()[1:]
    assert 3 <= len(rows) < 401
    assert len(list(out.iterdir())) == 3 * len(rows) + 1
    for file in out.glob("*.png"):
        with Image.open(file) as picture:
            picture.load()
