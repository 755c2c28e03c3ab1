"""Two commands at once in one workspace: the work is done once, and both get it."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest
from commands import environment, family, running, tiny, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc"),
]
WAITING = "teacher: waiting for another process that makes this artifact"


def test_two_commands_make_an_artifact_once(home: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    command = tiny("segmenter train", workspace, "--json")
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    said = [folder / "output.txt" for folder in folders]

    with running(command, environment(home), folders[0]) as first:
        until(
            lambda: list((workspace / "store").glob("segmenter.train/*.partial/checkpoint/step*"))
        )
        at_work = family(first.pid)
        for pid in at_work:
            os.kill(pid, signal.SIGSTOP)  # with the lock, for as long as the second needs to start
        with running(command, environment(home), folders[1]) as second:
            until(lambda: WAITING in said[1].read_text(), 40)
            for pid in at_work:
                os.kill(pid, signal.SIGCONT)
            assert first.wait(120) == 0, said[0].read_text()
            assert second.wait(120) == 0, said[1].read_text()

    results = [json.loads(text[text.index("\n{") :]) for text in map(Path.read_text, said)]
    assert results[0] == results[1]
    assert WAITING not in said[0].read_text()
    assert not list((workspace / "store").rglob("*.partial"))
