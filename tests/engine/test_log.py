"""A training's log after a kill: what is whole and not after the checkpoint stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from vesselforge.engine import log
from vesselforge.engine.log import LOG, append_log, cut_log, read_log


def test_later_and_torn_entries_go(tmp_path: Path) -> None:
    entries = [{"step": step, "loss": 0.1 * step} for step in range(1, 6)]
    for entry in entries:
        append_log(tmp_path, entry)
    before = (tmp_path / LOG).read_text()
    with (tmp_path / LOG).open("a") as stream:
        stream.write('{"step": 6, "lo')
    assert list(read_log(tmp_path)) == entries
    cut_log(tmp_path, 5)
    assert (tmp_path / LOG).read_text() == before  # byte for byte, floats included
    cut_log(tmp_path, 3)
    assert list(read_log(tmp_path)) == entries[:3]


def test_a_new_training_has_an_empty_log(tmp_path: Path) -> None:
    cut_log(tmp_path, 0)
    assert (tmp_path / LOG).read_text() == ""


def test_a_kill_while_cutting_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_log(tmp_path, {"step": 1})

    def killed(path: Path, content: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(log, "write_atomic", killed)
    with pytest.raises(KeyboardInterrupt):
        cut_log(tmp_path, 1)
    assert list(read_log(tmp_path)) == [{"step": 1}]
