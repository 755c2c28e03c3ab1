"""TensorBoard's files, read back by TensorBoard: they show what a training's folder says."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from progress_heard import Heard

from vesselforge.configs.errors import ConfigError
from vesselforge.data.imageset import write_png
from vesselforge.engine.log import append_log, cut_log
from vesselforge.engine.sinks import board
from vesselforge.engine.sinks.board import SWITCH, Board, board_folder, boards, draw, switched_on

KIND, DIGEST = "generator.train", "f" * 24
Shown = dict[str, list[tuple[int, float]]]


def line(step: int, **values: Any) -> dict[str, Any]:
    return {"step": step, "kimg": step / 1000} | values


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """The folder of a training under way."""
    folder = tmp_path / "store" / KIND / f"{DIGEST}.partial"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def follow(tmp_path: Path) -> Callable[..., None]:
    """An attempt that looks at the folder that often and then ends."""

    def attempt(whole: bool = False) -> None:
        one = Board(tmp_path, KIND, DIGEST, "generator")
        one.follow()
        one.ended(None if whole else KeyboardInterrupt())

    return attempt


def accumulated(workspace: Path, kind: str = KIND, digest: str = DIGEST) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = board_folder(workspace, kind, digest)
    return EventAccumulator(str(folder), {"scalars": 0, "images": 0, "tensors": 0}).Reload()


def scalars(workspace: Path) -> Shown:
    found = accumulated(workspace)
    every = {t: [(e.step, e.value) for e in found.Scalars(t)] for t in found.Tags()["scalars"]}
    return {tag: values for tag, values in every.items() if values}  # not what was taken back


def pictures(workspace: Path) -> dict[int, Any]:
    """step → pixels."""
    found = accumulated(workspace)
    [tag] = found.Tags()["images"]
    images = {e.step: Image.open(io.BytesIO(e.encoded_image_string)) for e in found.Images(tag)}
    assert len(images) == len(found.Images(tag))
    return {step: np.asarray(image) for step, image in images.items()}


def grid(folder: Path, step: int, grey: int) -> None:
    write_png(folder / f"grid-{step:06d}.png", np.full((4, 6, 3), grey, np.uint8))


def test_the_log_becomes_curves_and_an_attempt_that_goes_on_continues_them(
    tmp_path: Path, training: Path, follow: Callable[..., None]
) -> None:
    for step in (1, 2, 3):
        append_log(training, line(step, loss=0.1 * step))
    append_log(
        training,
        {"step": 3, "validation": {"f1": 0.5, "best": True, "name": "x", "r": float("inf")}},
    )
    follow()
    with (training / "log.jsonl").open("a") as stream:
        stream.write('{"step": 4, "lo')  # being written
    follow()
    assert scalars(tmp_path) == {
        "loss": [(n, pytest.approx(0.1 * n)) for n in (1, 2, 3)],
        "validation/f1": [(3, 0.5)],
    }
    cut_log(training, 2)  # a kill, and on from the checkpoint of step 2
    append_log(training, line(3, loss=0.35))
    append_log(training, line(4, loss=0.4))
    follow()
    follow()
    assert scalars(tmp_path) == {
        "loss": [(n, pytest.approx(v)) for n, v in ((1, 0.1), (2, 0.2), (3, 0.35), (4, 0.4))]
    }
    files = sorted(board_folder(tmp_path, KIND, DIGEST).glob("*tfevents*"))
    assert len(files) == 1  # of the last attempt
    about = accumulated(tmp_path).Tensors("step/text_summary")[0].tensor_proto.string_val
    assert about == [b"generator"]


def test_grids_of_generated_images_are_shown_once(tmp_path: Path, training: Path) -> None:
    one = Board(tmp_path, KIND, DIGEST, "generator")
    for step in (10, 20):
        grid(training, step, grey=step)
        one.follow()
    training.rename(training.with_suffix(""))
    grid(training.with_suffix(""), 30, grey=30)
    one.ended(None)
    assert {step: pixels[0, 0, 0] for step, pixels in pictures(tmp_path).items()} == {
        10: 10, 20: 20, 30: 30,
    }  # fmt: skip


def test_patients_pictures_are_not_shown(
    tmp_path: Path, training: Path, follow: Callable[..., None]
) -> None:
    grid(training, 10, grey=10)
    for name in ("reals.png", "fov.png", "grid.png"):
        write_png(training / name, np.full((4, 4), 77, np.uint8))
    training.rename(training.with_suffix(""))
    follow(whole=True)
    assert pictures(tmp_path).keys() == {10}
    assert not any("score" in kind or "prepare" in kind for kind in board.KINDS)


def test_a_stage_is_followed_while_it_runs(
    tmp_path: Path, training: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, "1")
    monkeypatch.setattr(board, "FOLLOW_EVERY_S", 0)
    work = (tmp_path, KIND, DIGEST, "generator")
    progress = heard.also(*boards(*work))
    append_log(training, line(1, loss=1))
    progress.update(1, 2, "step")
    assert scalars(tmp_path) == {"loss": [(1, 1)]}
    append_log(training, line(2, loss=2))
    training.rename(training.with_suffix(""))
    progress.ended(None)
    assert scalars(tmp_path) == {"loss": [(1, 1), (2, 2)]}
    assert heard.updates == [(1, 2, "step", {})]
    draw(*work)  # found finished: all is there
    assert len(list(board_folder(tmp_path, KIND, DIGEST).glob("*tfevents*"))) == 1
    shutil.rmtree(board_folder(tmp_path, KIND, DIGEST))
    draw(*work)
    assert scalars(tmp_path) == {"loss": [(1, 1), (2, 2)]}
    assert not boards(tmp_path, "data.prepare", DIGEST, "images")


def test_files_that_cannot_be_written_stop_nothing(
    tmp_path: Path, training: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setenv(SWITCH, "1")
    (tmp_path / "tensorboard").write_text("in the way")
    progress = heard.also(*boards(tmp_path, KIND, DIGEST, "generator"))
    progress.update(1, 2, "step")
    progress.ended(None)
    assert heard.updates == [(1, 2, "step", {})]
    assert caplog.text.count("not written") == 1


def test_the_switch_is_a_number_and_needs_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    assert not switched_on()
    monkeypatch.setenv(SWITCH, "0")
    assert not switched_on()
    monkeypatch.setenv(SWITCH, "yes")
    with pytest.raises(ConfigError, match="found 'yes', expected 1 or 0"):
        switched_on()
    monkeypatch.setenv(SWITCH, "1")
    assert switched_on()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'vesselforge\[tensorboard\]'"):
        switched_on()


def test_it_is_loaded_when_asked_for_alone() -> None:
    code = "import sys, vesselforge.pipeline.stages; print('tensorboard' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
