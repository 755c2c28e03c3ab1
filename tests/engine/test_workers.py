"""Several processes for one stage: real ones, started by torchrun, meeting over loopback."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
import torch
from worker_acts import Act

import vesselforge.engine.torchrun.workers
from vesselforge.configs.errors import ConfigError, DataError
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.processes.reporting import LostContact, StageCrashed
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.engine.torchrun.ranks import ProcessGroup
from vesselforge.engine.torchrun.workers import run_in_workers

pytestmark = pytest.mark.slow

HERE = Path(__file__).parents[1] / "helpers"
IMAGES = {"images": Artifact(HERE, {"kind": "test", "digest": "abc"})}


class Ear(Progress):
    """Remembers what it hears, and asks to stop when it has heard of a step."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        self.stop_requested = True

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture
def pair(tmp_path, monkeypatch):
    def run(ear=None, **settings):
        act, ear = "worker_acts:act", ear or Ear()
        try:
            run_in_workers(act, Act(**settings), IMAGES, tmp_path, ear, processes=2)
        finally:
            pids = [int((tmp_path / f"pid{rank}").read_text()) for rank in (0, 1)]
            deadline = time.monotonic() + 5
            while any(alive(pid) for pid in pids):
                assert time.monotonic() < deadline, "a process was left behind"
                time.sleep(0.02)

    monkeypatch.setenv("PYTHONPATH", str(HERE))
    return run


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_user_error_of_any_process_is_the_stages(pair):
    with pytest.raises(DataError, match=r"^picture.png: is upside down$"):
        pair(do="misjudge")


def test_a_killed_process_ends_all_of_them(pair):
    with pytest.raises(StageCrashed, match="process 2 of 2 was ended by SIGKILL") as crash:
        pair(do="die")
    assert crash.value.transient


def test_a_group_agrees_lets_rank_0_speak_and_stops_when_asked(pair, tmp_path):
    ear = Ear()
    with pytest.raises(Interrupted, match="same command"):
        pair(ear, do="count")
    seen = [json.loads((tmp_path / f"seen{rank}.json").read_text()) for rank in (0, 1)]
    assert seen[0] == seen[1] == {
        "total": [3.0] * 3, "told": {"of": ["the", "lead", 0]}, "any": [True, False],
        "size": 2, "images": "abc",
    }  # fmt: skip
    assert ear.messages == ["rank 0 speaks"]
    saved = [json.loads((tmp_path / f"saved{rank}.json").read_text()) for rank in (0, 1)]
    assert saved[0] == saved[1]  # the same step


def test_one_process_is_a_group():
    alone = ProcessGroup()
    assert alone.is_main
    assert alone.all_reduce(torch.ones(2)).tolist() == [1, 1]
    assert alone.any(True) and not alone.any(False)
    assert alone.broadcast([1]) == [1]
    assert os.environ.get("TORCHELASTIC_RUN_ID") is None


def test_silence_is_explained(monkeypatch):
    def silent(tensor):
        raise RuntimeError("Timed out waiting 1800000ms for recv operation\nand so on")

    monkeypatch.setattr(torch.distributed, "all_reduce", silent)
    with pytest.raises(LostContact, match=r"process 1 of 2 .* Timed out .* Check whether"):
        ProcessGroup(0, 2).any(True)


def test_more_processes_than_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr("vesselforge.engine.devices.pick_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"processes: 2 needs .* has 1; set processes: 1"):
        vesselforge.engine.torchrun.workers.run_in_workers(
            "x:y", Act(), {}, tmp_path, Progress(), 2
        )
