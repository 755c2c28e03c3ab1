"""Training in two processes, started by torchrun: the one process's training, stopped or killed.

Sums are taken in another order, so gradients differ: by 3e-6 of the largest, and by up to 3e-3 in a
step in which rounding decides which of two pixels is the larger one (one process differs as much
from its own gradients in float64). Adam makes more of it, for it divides a gradient by its own
size, and that of a bias before BatchNorm is little but such noise. So the rate is low here, and
what is compared beside weights are losses and gradients: rows that were counted wrongly, or
normalised apart, change these by more than 1 % and 10 %.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from segmenter_helpers import StopAfter, artifact, phantom_set, pseudo_labelled

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import FitSettings
from vesselforge.engine.artifacts import SCRATCH, identity_of
from vesselforge.engine.checkpoints import load_tensors, newest_checkpoint
from vesselforge.engine.log import read_log
from vesselforge.engine.processes.reporting import StageCrashed
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.torchrun.ranks import Team
from vesselforge.segmenter.training.fit import train

SMALL: dict[str, Any] = {
    "batch": 3, "crop": 32, "drop_block": 3, "ema": 0.9, "warmup": 2, "lr": 1e-5,
    "optimizer": "adam", "head_weights": [0.03], "device": "cpu",
}  # fmt: skip
NEAR = {"bias": 0.05, "running_": 5e-4}
"""Of a tensor's norm; others: 1e-4; measured: 2e-3, 2e-5 and 2e-6. Biases begin at 0."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_set(tmp_path_factory.mktemp("real"), {"train": 3, "validation": 2})


def fit(out: Path, settings: FitSettings, progress: Progress | None = None, **sets: Path) -> Path:
    out.mkdir(exist_ok=True)
    inputs = {name: artifact(path) for name, path in sets.items()}
    train(settings, inputs, out, progress or Progress())
    return out


def same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Weights and statistics as NEAR says; averaged gradients to 2 % of the largest."""
    assert found.keys() == expected.keys()
    norms = {name: float(tensor.double().norm()) for name, tensor in expected.items()}
    largest = max((norm for name, norm in norms.items() if name.endswith("exp_avg")), default=0)
    for name, tensor in expected.items():
        off = float((found[name].double() - tensor.double()).norm())
        if name.endswith("exp_avg"):
            assert off <= 0.02 * largest, name
        elif not name.endswith("exp_avg_sq"):
            near = next((near for part, near in NEAR.items() if part in name), 1e-4)
            assert off <= near * norms[name] + 1e-12, name


def same_log(found: Path, expected: Path) -> int:
    """Losses agree to 1e-4, validation figures to 1e-3; how many entries there are."""
    logs = [list(read_log(out)) for out in (found, expected)]
    for ours, theirs in zip(*logs, strict=True):
        same_figures(ours.pop("validation", {}), theirs.pop("validation", {}))
        assert ours == pytest.approx(theirs, rel=1e-4, abs=2e-6)  # logged to six digits
    return len(logs[0])


def same_figures(found: dict[str, float], expected: dict[str, float]) -> None:
    assert found.pop("threshold", 0.5) == pytest.approx(expected.pop("threshold", 0.5), abs=0.01)
    assert found == pytest.approx(expected, rel=1e-3)


class KillOne(Progress):
    """Kills the second worker when it hears of the tenth step."""

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        if done > 10:
            return
        [launcher] = children(os.getpid(), "vesselforge.engine.torchrun.workers")
        for pid in children(launcher, "vesselforge.engine.torchrun.workers"):
            if "RANK=1" in Path(f"/proc/{pid}/environ").read_text().split("\0"):
                os.kill(pid, signal.SIGKILL)


def children(parent: int, command: str) -> list[int]:
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(parent)], capture_output=True, text=True
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if command in line]


def test_two_processes_one_of_them_killed_train_the_same_network(
    tmp_path: Path, images: Path
) -> None:
    settings = FitSettings(
        **SMALL, loss="bce", steps=12, validate_every=6, checkpoint_every=4,
        threshold_on="development",
    )  # fmt: skip
    one = fit(tmp_path / "one", settings, images=images)
    two, shared = tmp_path / "two", settings.model_copy(update={"processes": 2})
    with pytest.raises(StageCrashed, match="process 2 of 2 was ended by SIGKILL") as crash:
        fit(two, shared, KillOne(), images=images)
    assert crash.value.transient
    fit(two, shared, images=images)
    same(*(load_tensors(out / "model.safetensors")[0] for out in (two, one)))
    assert same_log(two, one) == 4  # two losses, two validations
    metrics, models = (
        [json.loads((out / name).read_text()) for out in (two, one)]
        for name in ("metrics.json", "model.json")
    )
    same_figures(metrics[0].pop("validation"), metrics[1].pop("validation"))
    same_figures(metrics[0], metrics[1])
    assert models[0] | {"threshold": 0} == models[1] | {"threshold": 0}


class StopAtTen(Progress):
    """Asks to stop when it hears of the tenth step, at which the log has its first loss."""

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        self.stop_requested = True


def test_a_stopped_training_goes_on_in_another_number_of_processes(
    tmp_path: Path, images: Path
) -> None:
    """From one to two and back, with pixel weights, a mixed batch and a loss of batch-wide sums."""
    settings = FitSettings(
        **SMALL, network="backbone", loss="balanced-bce-dice", cldice=0.2, steps=2000,
        validate_every=8, checkpoint_every=1000,
    )  # fmt: skip
    made = pseudo_labelled(phantom_set(tmp_path / "made", {"train": 2}, size=48))
    sets = {"images": images, "synthetic": made}

    def stopped(out: Path, progress: Progress, processes: int) -> tuple[int, dict[str, Any]]:
        with pytest.raises(Interrupted):
            fit(out, settings.model_copy(update={"processes": processes}), progress, **sets)
        found = newest_checkpoint(out / SCRATCH)
        assert found is not None
        return found[:2]

    several = tmp_path / "several"
    assert stopped(several, StopAfter(3), 1)[0] == 3
    middle = stopped(several, StopAtTen(), 2)[0]
    assert 10 <= middle < 2000
    step, tensors = stopped(several, StopAfter(2), 1)
    assert step == middle + 2
    same(tensors, stopped(tmp_path / "one", StopAfter(step), 1)[1])
    assert same_log(several, tmp_path / "one") >= 2  # a loss, a validation


class Alone(Team):
    """The lead of two, whose other one agrees with everything."""

    def any(self, flag: bool) -> bool:
        return flag


def test_more_processes_than_rows_are_refused(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert identity_of(FitSettings(processes=2)) == identity_of(FitSettings())
    with pytest.raises(ValueError, match="batch 2 is too few for processes 3: set batch to 3"):
        FitSettings(batch=2, processes=3)
    monkeypatch.setattr("vesselforge.segmenter.training.fit.among_workers", lambda: True)
    monkeypatch.setattr("vesselforge.segmenter.training.fit.here", lambda: Alone(0, 2))
    settings = FitSettings(source="pool", batch=19, processes=2, device="cpu")  # 39 in the pool
    with pytest.raises(ConfigError, match=r"the smallest \(of 3 images .* batch 19\) has 1; set"):
        fit(tmp_path / "out", settings, images=images)
