"""Times of a training: in progress and in the scratch folder, and checkpoints that stay cheap."""

from __future__ import annotations

import json

import pytest
import torch

from vesselforge.generator.training import pace
from vesselforge.generator.training.pace import Pace


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: now[0])
    return now


def test_what_a_tick_says(tmp_path, clock):
    kept = Pace(torch.device("cpu"), tmp_path / "scratch")
    for _ in range(50):
        kept.shown(8)
        clock[0] += 0.1
    with kept.aside("snapshots"):
        clock[0] += 3
    with kept.aside("bookkeeping"):
        clock[0] += 1
    found = kept.tick(50)
    assert found["s_per_kimg"] == pytest.approx(6.0 / 0.4)  # snapshots are counted apart
    assert found["bookkeeping"] == pytest.approx(1 / 6)
    assert 0.05 < found["GiB"] < 100
    clock[0] += 2
    kept.shown(1000)
    assert kept.tick(51)["s_per_kimg"] == pytest.approx(2.0)  # nothing is left from before
    lines = [json.loads(line) for line in (tmp_path / "scratch" / pace.FILE).open()]
    assert [line["step"] for line in lines] == [50, 51]
    assert lines[0]["snapshot_s"] == 3


def test_a_slow_checkpoint_waits(tmp_path, clock):
    kept = Pace(torch.device("cpu"), None)
    assert kept.may_save()
    with kept.saving("bookkeeping"):
        clock[0] += 2.0  # a gigabyte to a slow disk
    clock[0] += 90
    assert not kept.may_save()
    clock[0] += 10
    assert kept.may_save()  # 2 of 100 seconds
    with kept.saving("bookkeeping"):
        clock[0] += 0.1
    assert kept.may_save()


def test_long_silences_are_broken(clock):
    kept = Pace(torch.device("cpu"), None)
    assert not kept.quiet()
    clock[0] += pace.QUIET_S
    assert kept.quiet()
    assert not kept.quiet()
