"""Checkpoints of a training that stay cheap, and a progress line that is never silent for long."""

from __future__ import annotations

import pytest

from vesselforge.generator.training import resources
from vesselforge.generator.training.resources import Pace


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(resources.time, "monotonic", lambda: now[0])
    return now


def test_a_slow_checkpoint_waits(clock):
    kept = Pace()
    assert kept.may_save()
    with kept.saving():
        clock[0] += 2.0  # a gigabyte to a slow disk
    clock[0] += 90
    assert not kept.may_save()
    clock[0] += 10
    assert kept.may_save()  # 2 of 100 seconds
    with kept.saving():
        clock[0] += 0.1
    assert kept.may_save()


def test_long_silences_are_broken(clock):
    kept = Pace()
    assert not kept.quiet()
    clock[0] += resources.QUIET_S
    assert kept.quiet()
    assert not kept.quiet()
