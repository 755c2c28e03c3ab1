"""The training stage: resuming, stopping, failing, continuing; its schedules."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_helpers import StopAfter, as_artifact, content, parity, tiny, write_image_set
from PIL import Image

from vesselforge.configs.errors import CheckpointError
from vesselforge.configs.settings import GeneratorSettings
from vesselforge.engine.artifacts import SCRATCH
from vesselforge.engine.checkpoints import load_tensors
from vesselforge.engine.log import read_log
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.networks import Discriminator, Generator
from vesselforge.generator.trained import load_discriminator, load_generator
from vesselforge.generator.training.step_counts import Schedule, ema_beta, lazy_adam
from vesselforge.generator.training.train import train
from vesselforge.generator.training.trainer import Trainer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return {"images": write_image_set(tmp_path_factory.mktemp("images"))}


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    """A finished training of six steps, never disturbed."""
    out = tmp_path_factory.mktemp("whole")
    train(tiny(), images, out, Progress())
    return out


def test_what_a_training_leaves(trained):
    names = set(content(trained))
    assert names == {
        "generator.safetensors", "discriminator.safetensors", "training.safetensors",
        "generator.json", "metrics.json", "log.jsonl", "reals.png",
        "grid-000004.png", "grid-000006.png",
    }  # fmt: skip
    generator, description = load_generator(trained)
    assert generator.img_resolution == description["resolution"] == 16
    assert description["native_size"] is None
    assert load_discriminator(trained)(torch.zeros(2, 3, 16, 16)).shape == (2, 1)
    log = list(read_log(trained))
    assert [entry["step"] for entry in log] == [
        1,
        2,
        3,
        4,
        4,
        5,
        6,
        6,
    ]  # ticks, and snapshots at 4 and 6
    assert {"loss_g", "loss_d", "scores_real", "p", "r_t"} <= set(log[6])
    assert {"r1_penalty", "path_length"} <= set(log[0])
    assert {"kid_mean", "kid_std", "diversity"} <= set(log[7])
    assert "kid_floor_mean" in log[4]
    assert not any("second" in name or "time" in name for entry in log for name in entry)
    assert Image.open(trained / "grid-000006.png").size == (8 * 16, 4 * 16)
    average, current = (
        load_tensors(trained / f"{n}.safetensors")[0] for n in ("generator", "training")
    )
    assert not torch.equal(average["synthesis.b4.const"], current["synthesis.b4.const"])


@pytest.mark.parametrize("stops", [[3], [1, 2, 1]])
def test_three_and_three_steps_are_six(images, trained, tmp_path, stops):
    for looks in stops:
        with pytest.raises(Interrupted):
            train(tiny(), images, tmp_path, StopAfter(looks))
    train(tiny(), images, tmp_path, Progress())
    assert content(tmp_path) == content(trained)


def test_another_seed_is_another_training(images, trained, tmp_path):
    train(tiny(seed=1), images, tmp_path, Progress())
    assert content(tmp_path)["generator.safetensors"] != content(trained)["generator.safetensors"]


def test_a_torn_log_line_is_cut(images, trained, tmp_path):
    with pytest.raises(Interrupted):
        train(tiny(), images, tmp_path, StopAfter(3))
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"step": 4}\n{"ste')
    train(tiny(), images, tmp_path, Progress())
    assert content(tmp_path) == content(trained)


def test_kill_9_changes_nothing(images, tmp_path):
    settings = tiny(steps=60, checkpoint_every=3, snapshot_kimg=0.06)
    script = (
        "import sys, json; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from generator_helpers import as_artifact\n"
        "from vesselforge.configs.settings import GeneratorSettings\n"
        "from vesselforge.engine.progress import Progress\n"
        "from vesselforge.generator.training.train import train\n"
        "settings = GeneratorSettings.model_validate_json(sys.argv[2])\n"
        "images = {'images': as_artifact(Path(sys.argv[3]))}\n"
        "train(settings, images, Path(sys.argv[4]), Progress())\n"
    )
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    killed.mkdir()
    whole.mkdir()
    arguments = [
        str(ROOT / "tests" / "helpers"),
        settings.model_dump_json(),
        str(images["images"].path),
    ]
    threads = str(torch.get_num_threads())  # sums are split over threads: same number, same bits
    child = subprocess.Popen(
        [sys.executable, "-c", script, *arguments, str(killed)],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": threads,
        },
    )
    deadline = time.monotonic() + 200
    while not any(killed.glob(f"{SCRATCH}/step-*[5-9].sha256")):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (killed / "generator.json").exists()
    train(settings, images, killed, Progress())
    train(settings, images, whole, Progress())
    assert content(killed) == content(whole)


@pytest.mark.parametrize("augment", ["none", "fixed"])
def test_other_ways_to_train(images, tmp_path, augment):
    settings = tiny(
        steps=4, presentation="full", augment=augment, path_length_weight=0, style_mixing=0
    )
    train(settings, images, tmp_path, Progress())
    _, description = load_generator(tmp_path)
    assert description["scored_by"]["reals"] == 5  # whole images are not shown twice
    assert description["native_size"] == [40, 40]
    assert description["training"]["p"] == pytest.approx({"none": 0, "fixed": 0.3}[augment])
    assert Image.open(tmp_path / "fov.png").size == (40, 40)


def test_p_rises_when_the_discriminator_wins_and_falls_when_it_loses(images):
    for bias, way in ((50.0, 1), (-50.0, -1)):
        cfg = tiny(lr=1e-6, ada_kimg=1.0)
        g = Generator(8, 0, 8, 16, 3, synthesis_kwargs={"channel_base": 128, "channel_max": 8})
        d = Discriminator(0, 16, 3, channel_base=128, channel_max=8)
        d.b4.out.bias.data.fill_(bias)
        trainer = Trainer(cfg, g, d)
        for _ in range(8):
            trainer.advance(torch.zeros(4, 3, 16, 16))
        assert trainer.p == pytest.approx(0.3 + way * 2 * 4 * 4 / 1000)
        assert trainer.r_t == way


def test_going_on_from_an_earlier_training(images, trained, tmp_path):
    inputs = {**images, "start": as_artifact(trained, "generator.train")}
    with pytest.raises(Interrupted):
        train(tiny(steps=4), inputs, tmp_path, StopAfter(1))
    train(tiny(steps=4, mbstd_group=2), inputs, tmp_path, Progress())
    _, description = load_generator(tmp_path)
    assert description["provenance"]["start"] == f"generator.train {trained.name}"
    before = load_tensors(trained / "training.safetensors")[0]["synthesis.b16.conv1.weight"]
    after = load_tensors(tmp_path / "training.safetensors")[0]["synthesis.b16.conv1.weight"]
    assert 0 < (after - before).abs().max() < 0.1
    with pytest.raises(CheckpointError, match=r"generator\.channel_base: 128, .*_max: 8"):
        train(tiny(channel_max=9), inputs, tmp_path / "other", Progress())


def test_adam_is_corrected_for_lazy_penalties():
    for name, reference in parity("losses").items():
        if name.startswith("adam/"):
            _, interval, lr = name.removeprefix("adam/").split("_")
            optimizer = lazy_adam(torch.nn.Linear(1, 1), float(lr[2:]), int(interval))
            group = optimizer.param_groups[0]
            assert np.allclose([group["lr"], *group["betas"], group["eps"]], reference[1:], 1e-12)


def test_decay_of_the_average():
    for batch, kimg, rampup, images_so_far, beta in parity("losses")["ema/table"]:
        ramp = None if rampup < 0 else rampup
        assert ema_beta(int(batch), kimg, ramp, images_so_far) == pytest.approx(beta, rel=1e-12)


def test_automatic_values():
    schedule = Schedule.of(GeneratorSettings(resolution=256, batch=16), continued=False)
    assert schedule.r1_gamma == pytest.approx(0.8192)
    assert schedule.ema_kimg == 5
    assert schedule.steps == 625
    assert dataclasses.replace(schedule, ema_rampup=None) == Schedule.of(
        GeneratorSettings(resolution=256, batch=16), continued=True
    )
