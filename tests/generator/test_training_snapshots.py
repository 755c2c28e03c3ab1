"""Snapshots, which is delivered, and what a divergence leaves."""

from __future__ import annotations

import errno
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_helpers import StopAfter, as_artifact, content, tiny, write_image_set
from pydantic import TypeAdapter

import vesselforge.generator.training.train
from vesselforge.configs.errors import TrainingError
from vesselforge.data.imageset import ImageRecord, write_index, write_png
from vesselforge.data.layouts.splits import TRAIN, VALIDATION
from vesselforge.engine.checkpoints import load_tensors
from vesselforge.engine.log import read_log
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.trained import load_generator
from vesselforge.generator.training.snapshots import (
    Scorer,
    Snapshot,
    best_of,
)
from vesselforge.generator.training.train import train
from vesselforge.generator.training.trainer import Trainer

pytestmark = pytest.mark.slow

HEALTHY = Snapshot(10, 0.1, kid=(0.02, 0.002), diversity=0.8)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return {"images": write_image_set(tmp_path_factory.mktemp("images"))}


# What is delivered.


def test_without_scores_the_newest_are_the_best():
    assert best_of([Snapshot(step, step / 10) for step in (1, 2, 3)]).step == 3


def test_snapshots_survive_json():
    for taken in (HEALTHY, Snapshot(11, 0.11)):
        packed = json.loads(json.dumps(asdict(taken), allow_nan=False))
        assert TypeAdapter(Snapshot).validate_python(packed) == taken


def snapshots_of(folder: Path) -> list[dict]:
    return json.loads((folder / "generator.json").read_text())["snapshots"]


@pytest.mark.parametrize("deliver", ["best", "last"])
def test_the_best_or_the_last_is_delivered(images, tmp_path, monkeypatch, deliver):
    kids, weights = {2: 0.5, 4: 0.1, 6: 0.4, 8: 0.2, 10: 0.3}, {}

    def take(self, trainer):
        names = {"average": trainer.average, "current": trainer.generator}
        for name, network in names.items():
            state = {k: t.clone() for k, t in network.state_dict().items()}
            weights[trainer.step, name] = state
        return replace(HEALTHY, step=trainer.step, kid=(kids[trainer.step], 0.01))

    monkeypatch.setattr(Scorer, "take", take)
    train(tiny(10, snapshot_kimg=0.008, deliver=deliver), images, tmp_path, Progress())
    delivered = {"best": 4, "last": 10}[deliver]
    for name in ("average", "current"):
        file = {"average": "generator", "current": "training"}[name]
        found = load_tensors(tmp_path / f"{file}.safetensors")[0]
        assert_same(found, weights[delivered, name])
    _, description = load_generator(tmp_path)
    assert description["delivered"]["step"] == delivered
    assert description["delivered"]["kid_mean"] == kids[delivered]
    assert [s["step"] for s in description["snapshots"]] == list(kids)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(t, expected[name]) for name, t in found.items())


def test_snapshots_without_scores(images, tmp_path):
    train(tiny(8, snapshot_images=0), images, tmp_path, Progress())
    (_, last) = snapshots_of(tmp_path)
    assert "kid_mean" not in last
    assert all("loss_g" in entry for entry in read_log(tmp_path))


# Failures.


def poisoned_at(monkeypatch, step):
    """Make the real images of one step no numbers."""
    real = Trainer.advance

    def advance(self, images, *labels):
        real(self, images * (float("nan") if self.step == step else 1.0), *labels)

    monkeypatch.setattr(Trainer, "advance", advance)


class Lines(Progress):
    def __init__(self):
        self.lines = []
        self.figures = {}

    def message(self, text):
        self.lines.append(text)

    def update(self, done, total, unit="", **stats):
        self.figures |= stats


@pytest.fixture(scope="module")
def diverged(images, tmp_path_factory):
    """A training of eight steps whose sixth failed, after a snapshot at the fourth."""
    out, progress = tmp_path_factory.mktemp("diverged"), Lines()
    with pytest.MonkeyPatch.context() as monkeypatch:
        poisoned_at(monkeypatch, 5)
        train(tiny(8), images, out, progress)
    return out, progress


def test_a_divergence_ends_with_the_best_snapshot(images, diverged, tmp_path):
    out, progress = diverged
    (line,) = (text for text in progress.lines if "ends here" in text)
    assert "at step 6 of 8 the loss is no longer a finite number" in line
    assert "of step 4" in line and "lower generator.lr" in line and "\n" not in line
    assert {"p", "r_t", "kid", "loss_d"} <= set(progress.figures)
    log = list(read_log(out))
    assert [entry["step"] for entry in log] == [1, 2, 3, 4, 4, 5, 6]
    assert log[-1]["failed"] == "the loss is no longer a finite number"
    description = json.loads((out / "generator.json").read_text())
    assert [s["step"] for s in description["snapshots"]] == [4]
    train(tiny(4), images, tmp_path, Progress())
    for name in ("generator", "training", "discriminator"):
        file = f"{name}.safetensors"
        assert content(out)[file] == content(tmp_path)[file]


class Killed(BaseException):
    """Nothing catches it, as nothing catches kill -9."""


@pytest.mark.parametrize("after", [False, True])
def test_killed_around_every_checkpoint(images, diverged, tmp_path, monkeypatch, after):
    poisoned_at(monkeypatch, 5)
    real, saves = vesselforge.generator.training.train.save_checkpoint, []

    def save(*arguments):
        if not after and len(saves) % 2:  # every second one is not written any more
            saves.append(0)
            raise Killed
        real(*arguments)
        saves.append(1)
        if after:
            raise Killed

    monkeypatch.setattr(vesselforge.generator.training.train, "save_checkpoint", save)
    for _ in range(20):
        try:
            train(tiny(8, checkpoint_every=1), images, tmp_path, Progress())
            break
        except Killed:
            assert not (tmp_path / "generator.json").exists()
    assert len(saves) > 4
    assert content(tmp_path) == content(diverged[0])


def test_stopped_before_and_after_a_snapshot(images, diverged, tmp_path, monkeypatch):
    poisoned_at(monkeypatch, 5)
    for looks in (3, 1, 1):
        with pytest.raises(Interrupted):
            train(tiny(8), images, tmp_path, StopAfter(looks))
    train(tiny(8), images, tmp_path, Progress())
    assert content(tmp_path) == content(diverged[0])


def test_a_full_disk_while_weights_are_saved(images, diverged, tmp_path, monkeypatch):
    poisoned_at(monkeypatch, 5)
    with monkeypatch.context() as full:

        def save_tensors(path, *_):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

        full.setattr(vesselforge.generator.training.train, "save_tensors", save_tensors)
        with pytest.raises(OSError, match="No space left"):
            train(tiny(8), images, tmp_path, Progress())
    train(tiny(8), images, tmp_path, Progress())
    assert content(tmp_path) == content(diverged[0])


def test_a_divergence_before_any_snapshot_is_an_error_with_advice(images, tmp_path):
    settings = tiny(20, snapshot_kimg=1.0, augment="none")
    settings = settings.model_copy(update={"lr": 1e6})  # no file could say so
    with pytest.raises(TrainingError) as caught:
        train(settings, images, tmp_path, Progress())
    text = str(caught.value)
    for word in (
        "no longer a finite",
        "lr (now 1e+06)",
        "r1_gamma (now",
        "batch",
        "augment: ada (now",
    ):
        assert word in text
    assert "freeze_d" in text and "more images" in text


def test_finite_scores_that_explode_are_a_divergence(images, tmp_path):
    """At lr 1 the discriminator's scores come to a million in ten steps, and stay numbers."""
    with pytest.raises(TrainingError, match="step 3 the discriminator's scores have exploded"):
        train(tiny(40, lr=1.0, augment="none"), images, tmp_path, Progress())
    assert list(read_log(tmp_path))[-1]["failed"] == "the discriminator's scores have exploded"


def test_images_that_are_all_the_same(tmp_path):
    """Crops of them differ; as whole images they leave nothing to compare diversity with."""
    folder = tmp_path / "set"
    pixels = np.arange(40, dtype=np.uint8)[:, None, None].repeat(40, 1).repeat(3, 2)
    names = {f"{n}.png": TRAIN if n else VALIDATION for n in range(6)}
    for name in names:
        write_png(folder / name, pixels)
    write_index(folder, "same", [ImageRecord(n, split, n) for n, split in names.items()])
    progress = Lines()
    settings = tiny(6, presentation="full")
    train(settings, {"images": as_artifact(folder)}, tmp_path, progress)
    assert sum("all training images look the same" in line for line in progress.lines) == 2
    description = json.loads((tmp_path / "generator.json").read_text())
    assert description["scored_by"] is None and description["delivered"]["step"] == 6


def test_two_processes_fail_together(images, tmp_path):
    settings = tiny(6, processes=2, mbstd_group=2, r1_gamma=1e300)
    with pytest.raises(TrainingError, match="the loss is no longer"):
        train(settings, images, tmp_path, Progress())


def test_scores_that_are_no_numbers_do_not_count(images, tmp_path, monkeypatch):
    module = vesselforge.generator.training.snapshots
    real, found = module.kid, []

    def kid(*arguments):
        found.append(real(*arguments) if not found else (float("nan"), 0.0))
        return found[-1]

    monkeypatch.setattr(module, "kid", kid)
    train(tiny(8), images, tmp_path, Progress())
    first, second = snapshots_of(tmp_path)
    assert "kid_mean" in first and "kid_mean" not in second
    assert json.loads((tmp_path / "generator.json").read_text())["delivered"]["step"] == 4


# Memory.


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB"),
        MemoryError("Unable to allocate 9.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_too_little_memory(images, tmp_path, monkeypatch, error):
    def advance(self, *_):
        raise error

    monkeypatch.setattr(Trainer, "advance", advance)
    with pytest.raises(TrainingError, match=r"batch \(now 4\).*bfloat16"):
        train(tiny(), images, tmp_path, Progress())


def test_other_errors_are_not_about_memory(images, tmp_path, monkeypatch):
    def advance(self, *_):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(Trainer, "advance", advance)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        train(tiny(), images, tmp_path, Progress())
