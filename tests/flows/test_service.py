"""What `vesselforge serve` keeps running: a command, ready when its address answers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from vesselforge.configs.errors import UserError
from vesselforge.flows.serving import service
from vesselforge.flows.serving.service import RESTARTS, Service

SLEEP = ["sleep", "600"]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(service, "answers", lambda url: True)
    return []


def test_what_dies_is_started_again_but_not_for_ever(said: list[str]) -> None:
    starts: list[str] = []
    sleeper = Service("the sleeper", SLEEP, "", said.append, first=lambda: starts.append("first"))
    with sleeper.running():
        sleeper.keep_up()
        assert said == []
        for _ in range(RESTARTS):
            _kill(sleeper)
            sleeper.keep_up()
        assert said == ["the sleeper was ended by SIGTERM; starting it again"] * RESTARTS
        assert len(starts) == RESTARTS + 1
        _kill(sleeper)
        with pytest.raises(UserError, match=rf"started again {RESTARTS} times within an hour"):
            sleeper.keep_up()


def test_nothing_is_left_of_it(said: list[str]) -> None:
    sleeper = Service("the sleeper", SLEEP, "", said.append)
    with sleeper.running():
        pid = sleeper._process.pid
    assert not Path(f"/proc/{pid}").exists()


def test_what_ends_at_once_has_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "answers", lambda url: False)
    sleeper = Service("the sleeper", SLEEP, "", print)
    _kill(sleeper)
    with pytest.raises(UserError, match="the sleeper did not start"), sleeper.running():
        pass


def _kill(sleeper: Service) -> None:
    os.kill(sleeper._process.pid, signal.SIGTERM)
    sleeper._process.wait(30)
