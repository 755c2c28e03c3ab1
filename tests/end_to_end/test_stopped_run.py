"""`vesselforge run` that is asked to stop, and what is said of checkpoints that are no good."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import environment, family, record, refusal, run, running, tiny, until
from typer.testing import Result

from vesselforge.engine.checkpoints import newest_checkpoint, save_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LONG = ("--set", "teacher.steps=5000")
TRACE = "store/segmenter.train/*.partial/checkpoint/step-*.safetensors"


def poison(folder: Path) -> None:
    """Make every weight of the newest checkpoint a NaN, with a hash that is right."""
    found = newest_checkpoint(folder)
    assert found is not None
    step, tensors, state = found
    for tensor in tensors.values():
        if tensor.is_floating_point():
            tensor.fill_(float("nan"))
    save_checkpoint(folder, step, tensors, state)


def test_it_saves_and_says_how_to_go_on_but_not_from_nan_or_damaged_checkpoints(
    home: Path, server: str, typed: Callable[..., Result], tmp_path: Path
) -> None:
    """By SIGTERM; by Ctrl-C: test_compare.py."""
    workspace, env = tmp_path / "workspace", environment(home, PREFECT_API_URL=server)
    with running(tiny("run", workspace, *LONG), env, tmp_path) as process:
        until(lambda: len(list(workspace.glob(TRACE))) > 1, 300)
        relatives = family(process.pid)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 130
        until(lambda: not any(family(pid) for pid in relatives), 20)
    last = (tmp_path / "output.txt").read_text().splitlines()[-1]
    assert "the same command goes on" in last
    told = record(workspace)
    assert told["status"] == "interrupted"
    assert told["steps"][-1]["kind"] == "data.prepare"

    teacher = tiny("segmenter train", workspace, *LONG)  # the same work, at the same address
    checkpoints = list(workspace.glob(TRACE))
    poison(checkpoints[0].parent)
    said = refusal(run(teacher, environment(home), tmp_path))
    assert said.startswith("error: segmenter.train: the loss is nan at step ")

    for checkpoint in checkpoints:
        with checkpoint.open("r+b") as stream:
            stream.seek(-8, os.SEEK_END)
            stream.write(b"\xff" * 8)
    assert "checkpoints are damaged (SHA-256 differs)" in refusal(typed(teacher))
