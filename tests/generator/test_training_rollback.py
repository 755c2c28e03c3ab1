"""Snapshots, retention, collapse and divergence: what a training does about itself."""

from __future__ import annotations

import errno
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from generator_helpers import StopAfter, content, tiny, write_image_set
from pydantic import TypeAdapter

import vesselforge.generator.training.train
from vesselforge.configs.errors import TrainingError
from vesselforge.engine.artifacts import SCRATCH
from vesselforge.engine.checkpoints import load_tensors
from vesselforge.engine.log import read_log
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.generator.models import load_generator
from vesselforge.generator.training.rollback import (
    PATIENCE,
    WARM_UP,
    History,
    Snapshot,
    fault_of,
    ranked,
    settings_after,
)
from vesselforge.generator.training.schedule import Schedule
from vesselforge.generator.training.snapshot_scores import Scorer
from vesselforge.generator.training.train import train
from vesselforge.generator.training.trainer import Trainer

FLOOR = (0.001, 0.0005)
HEALTHY = Snapshot(10, 0.1, 10, kid=(0.02, 0.002), diversity=0.8)


SETTLED = [
    replace(HEALTHY, step=10 - i, kid=(0.02 + i / 100, 0.002)) for i in range(WARM_UP, -1, -1)
]
"""Enough snapshots for the next one to be judged."""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return {"images": write_image_set(tmp_path_factory.mktemp("images"))}


# Faults.


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"diversity": 0.45}, "its samples are only 0.45 times as diverse"),
        ({"kid": (0.06, 0.005)}, "KID is 0.06 and was 0.02 at step 10"),
    ],
)
def test_a_fault_that_lasts_is_a_collapse(change, words):
    history = History(snapshots=list(SETTLED))
    for i in range(1, PATIENCE + 1):
        taken = replace(HEALTHY, step=10 + i, **change)
        taken = replace(taken, fault=fault_of(history.snapshots, taken, FLOOR))
        assert taken.fault.startswith(words)
        history.add(taken, 9)
        assert history.collapse() == (f"collapsed: {taken.fault}" if i == PATIENCE else "")
    assert history.best == history.healthy == HEALTHY


@pytest.mark.parametrize(
    "change",
    [
        {"diversity": 0.6},  # lower than it was, yet not narrow
        {"kid": (0.07, 0.012)},  # far up, within its error bars
        {"kid": (0.04, 0.001)},  # clearly up, not far
    ],
)
def test_ups_and_downs_are_no_collapse(change):
    assert fault_of(SETTLED, replace(HEALTHY, step=11, **change), FLOOR) == ""


def test_the_first_snapshots_are_not_judged():
    narrow = replace(HEALTHY, diversity=0.01, kid=(5.0, 0.1))
    for count in range(WARM_UP + 1):
        assert fault_of(SETTLED[:count], narrow, FLOOR) == ""
    assert fault_of(SETTLED, narrow, FLOOR)


def test_kid_at_its_floor_may_double_by_chance():
    lucky = replace(HEALTHY, kid=(0.0001, 0.0001))
    assert fault_of([*SETTLED, lucky], replace(HEALTHY, kid=(0.0025, 0.0003)), FLOOR) == ""


def test_scores_that_are_no_numbers_are_a_collapse_at_once():
    taken = replace(HEALTHY, step=11, diversity=float("nan"))
    history = History(snapshots=[HEALTHY])
    history.add(replace(taken, fault=fault_of([HEALTHY], taken, FLOOR)), 9)
    assert "not finite" in history.collapse()


# Retention.


def test_what_was_let_go_does_not_come_back():
    history = History()
    for i, value in enumerate((0.9, 0.8, 0.5, 0.3, 0.2), start=1):
        history.add(replace(HEALTHY, step=i, kid=(value, 0.01)), 2)
    assert [s.step for s in history.snapshots if s.kept] == [4, 5]
    history.snapshots = history.snapshots[:3]  # as after a rollback
    history.add(replace(HEALTHY, step=4), 2)
    assert [s.step for s in history.snapshots if s.kept] == [4]


def test_without_scores_the_newest_are_the_best():
    history = [Snapshot(step, step / 10, step) for step in (1, 2, 3)]
    assert [s.step for s in ranked(history)] == [3, 2, 1]


def test_a_history_survives_json():
    history = History(7, 3, [HEALTHY, Snapshot(11, 0.11, 11)], [{"from_step": 5, "step": 0}])
    packed = json.loads(json.dumps(asdict(history), allow_nan=False))
    assert TypeAdapter(History).validate_python(packed) == history


def snapshots_of(folder: Path) -> list[dict]:
    return json.loads((folder / "generator.json").read_text())["snapshots"]


@pytest.mark.parametrize("deliver", ["best", "last"])
def test_the_best_are_kept_and_one_is_delivered(images, tmp_path, monkeypatch, deliver):
    kids = {2: 0.5, 4: 0.1, 6: 0.4, 8: 0.2, 10: 0.3}
    weights, most = {}, []

    def take(self, trainer, clock):
        names = {"average": trainer.average, "current": trainer.generator}
        for name, network in names.items():
            state = {k: t.clone() for k, t in network.state_dict().items()}
            weights[trainer.step, name] = state
        most.append(len(list(tmp_path.glob("snapshot-*"))))
        return replace(HEALTHY, step=trainer.step, clock=clock, kid=(kids[trainer.step], 0.01))

    monkeypatch.setattr(Scorer, "take", take)
    settings = tiny(10, snapshot_kimg=0.008, keep_best=2, deliver=deliver)
    train(settings, images, tmp_path, Progress())
    delivered = {"best": 4, "last": 10}[deliver]
    kept = {s["step"]: s["file"] for s in snapshots_of(tmp_path) if s["file"]}
    assert list(kept) == sorted({4, 8, delivered})
    assert kept[delivered] == "generator.safetensors"
    on_disk = {p.name for p in tmp_path.glob("*.safetensors")}
    assert on_disk == {*kept.values(), "training.safetensors", "discriminator.safetensors"}
    for step, file in kept.items():
        assert_same(load_tensors(tmp_path / file)[0], weights[step, "average"])
    current = load_tensors(tmp_path / "training.safetensors")[0]
    assert_same(current, weights[delivered, "current"])
    assert max(most) <= 3  # two of the checkpoint before, one of the newest
    _, description = load_generator(tmp_path)
    assert description["delivered"]["kid_mean"] == kids[delivered]


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(t, expected[name]) for name, t in found.items())


def test_snapshots_without_scores(images, tmp_path):
    train(tiny(8, snapshot_images=0, keep_best=1), images, tmp_path, Progress())
    (first, last) = snapshots_of(tmp_path)
    assert (first["file"], last["file"]) == (None, "generator.safetensors")
    assert "kid_mean" not in last
    assert all("loss_g" in entry for entry in read_log(tmp_path))


# Rollback.


def poisoned_at(monkeypatch, step, seed):
    """Make the real images of one step of the training with that seed no numbers."""
    real = Trainer.advance

    def advance(self, images, *labels):
        poison = float("nan") if (self.step, self.settings.seed) == (step, seed) else 1.0
        real(self, images * poison, *labels)

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
def rolled_back(images, tmp_path_factory):
    """A training of eight steps whose sixth failed, after a snapshot at the fourth."""
    out, progress = tmp_path_factory.mktemp("rolled"), Lines()
    with pytest.MonkeyPatch.context() as monkeypatch:
        poisoned_at(monkeypatch, 5, 0)
        train(tiny(8), images, out, progress)
    return out, progress


def test_a_divergence_goes_back_to_the_best_snapshot(rolled_back):
    out, progress = rolled_back
    (line,) = (text for text in progress.lines if "rollback" in text)
    assert "step 5, the loss is no longer a finite number; going back to step 4" in line
    assert {"p", "r_t", "kid", "loss_d"} <= set(progress.figures)
    log = list(read_log(out))
    (mark,) = (entry for entry in log if "rollback" in entry)
    assert (mark["step"], mark["from_step"], mark["rollback"]) == (4, 5, 1)
    assert [entry["step"] for entry in log] == [1, 2, 3, 4, 4, 5, 4, 5, 6, 7, 8, 8]
    description = json.loads((out / "generator.json").read_text())
    before = Schedule.of(tiny(8), continued=False)
    assert description["training"]["lr"] == mark["lr"] == 0.00125
    assert description["training"]["r1_gamma"] == mark["r1_gamma"] == 2 * before.r1_gamma
    assert description["training"]["rollbacks"][0]["from_step"] == 5
    assert [s["step"] for s in description["snapshots"]] == [4, 8]


class Killed(BaseException):
    """Nothing catches it, as nothing catches kill -9."""


@pytest.mark.parametrize("after", [False, True])
def test_killed_around_every_checkpoint(images, rolled_back, tmp_path, monkeypatch, after):
    poisoned_at(monkeypatch, 5, 0)
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
    assert len(saves) > 8
    assert content(tmp_path) == content(rolled_back[0])


def test_stopped_before_and_after_a_rollback(images, rolled_back, tmp_path, monkeypatch):
    poisoned_at(monkeypatch, 5, 0)
    for looks in (5, 1, 1, 2):
        with pytest.raises(Interrupted):
            train(tiny(8), images, tmp_path, StopAfter(looks))
    train(tiny(8), images, tmp_path, Progress())
    assert content(tmp_path) == content(rolled_back[0])


def test_a_full_disk_while_a_snapshot_is_saved(images, rolled_back, tmp_path, monkeypatch):
    poisoned_at(monkeypatch, 5, 0)
    with monkeypatch.context() as full:

        def save_tensors(path, *_):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

        full.setattr(vesselforge.generator.training.train, "save_tensors", save_tensors)
        with pytest.raises(OSError, match="No space left"):
            train(tiny(8), images, tmp_path, Progress())
    train(tiny(8), images, tmp_path, Progress())
    assert content(tmp_path) == content(rolled_back[0])


def test_a_real_divergence_ends_with_advice(images, tmp_path, monkeypatch):
    monkeypatch.setattr(vesselforge.generator.training.train, "ROLLBACKS", 1)
    progress = Lines()
    settings = tiny(20, snapshot_kimg=1.0, augment="none")
    settings = settings.model_copy(update={"lr": 1e6})  # no file could say so
    with pytest.raises(TrainingError) as caught:
        train(settings, images, tmp_path, progress)
    text = str(caught.value)
    for word in (
        "after 2 rollbacks,",
        "lr (now 500000)",
        "r1_gamma (now",
        "batch",
        "augment: ada (now",
    ):
        assert word in text
    assert "freeze_d" in text and "more images" in text and "no snapshot yet" in text
    (line,) = (text for text in progress.lines if "rollback" in text)
    assert "going back to step 0" in line
    (saved,) = (tmp_path / SCRATCH).glob("step-*.safetensors")  # of the rollback, nothing worse
    assert all(t.isfinite().all() for t in load_tensors(saved)[0].values())


def test_two_processes_go_back_together(images, tmp_path):
    progress = Lines()
    settings = tiny(6, processes=2, mbstd_group=2, r1_gamma=1e300)
    with pytest.raises(TrainingError, match="after 2 rollbacks, the loss is no longer"):
        train(settings, images, tmp_path, progress)
    assert sum("rollback 2 of at most 2" in text for text in progress.lines) == 1


def test_a_collapse_goes_back_before_it(images, tmp_path, monkeypatch):
    narrow = {10: 0.3, 12: 0.2}

    def take(self, trainer, clock):
        diversity = narrow.get(trainer.step, 0.8) if trainer.settings.seed == 0 else 0.8
        kid = 0.04 - trainer.step / 1000  # falling, but to be narrow is not to be the best
        taken = replace(HEALTHY, step=trainer.step, clock=clock, kid=(kid, 0.01))
        return replace(taken, diversity=diversity)

    monkeypatch.setattr(Scorer, "take", take)
    progress = Lines()
    train(tiny(14, snapshot_kimg=0.008), images, tmp_path, progress)
    (line,) = (text for text in progress.lines if "rollback" in text)
    assert "at step 12, collapsed: its samples are only 0.20 times as diverse" in line
    assert "going back to step 8" in line
    assert [s["step"] for s in snapshots_of(tmp_path)] == [2, 4, 6, 8, 10, 12, 14]
    assert all(s["diversity"] == 0.8 for s in snapshots_of(tmp_path))


def test_settings_after_rollbacks():
    settings = tiny(r1_gamma=3.0)
    once, twice = settings_after(settings, 1), settings_after(settings, 2)
    assert settings_after(settings, 0) is settings
    assert (once.lr, once.r1_gamma) == (settings.lr / 2, 6.0)
    assert (twice.lr, twice.r1_gamma) == (settings.lr / 4, 12.0)
    assert len({settings.seed, once.seed, twice.seed}) == 3


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
