"""Predicting files that cannot be read, written or finished: told by name, nothing half-written."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from predicting import MAPS, PICTURE, rows_of

from vesselforge.configs.errors import ConfigError, DataError, WorkspaceError
from vesselforge.data.formats import images
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.inference.predict import (
    predict_files,
)


def test_a_name_that_is_no_text_is_skipped_and_told(model, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", os.fsdecode(b"caf\xe9.png"), "b\u202fPM.png"):
        Image.fromarray(PICTURE).save(tmp_path / "in" / name)
    predict_files(model, [tmp_path / "in"], tmp_path / "out", Progress())
    rows = {Path(row["file"]).name: row for row in rows_of(tmp_path / "out")}
    assert set(rows) == {"a.png", "caf\\udce9.png", "b\u202fPM.png"}
    assert "not UTF-8 text" in rows["caf\\udce9.png"]["error"]
    assert len(list((tmp_path / "out").glob("*_mask.png"))) == 2


class StopAfter(Progress):
    """Asks to stop when so many images are done."""

    def __init__(self, images: int) -> None:
        self.left = images

    def update(self, done, total, unit="", **stats):
        assert unit == "image" and 0 < done <= total
        self.stop_requested = done >= self.left


def bomb() -> bytes:
    """A PNG of 100 bytes that claims 60000 x 60000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_bad_files_are_reported_by_name_and_the_rest_is_done(model, tmp_path, monkeypatch):
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(PICTURE).save(folder / "good.png")
    whole = (folder / "good.png").read_bytes()
    (folder / "secret.png").write_bytes(whole)
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "zero.png").write_bytes(b"")
    (folder / "text.png").write_text("not a picture")
    (folder / "bomb.png").write_bytes(bomb())
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "folder.png").mkdir()
    tifffile.imwrite(folder / "float.tif", PICTURE / np.float32(255), photometric="rgb")
    opened = images.open_file

    def guarded(path):
        if path.name == "secret.png":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path)

    monkeypatch.setattr(images, "open_file", guarded)
    given = [folder, tmp_path / "missing.png", folder / "folder.png"]
    rows = predict_files(model, given, tmp_path / "out", Progress())
    faults = {Path(row["file"]).name: row["error"] for row in rows if "error" in row}
    expected = {
        "cut.png": "truncated",
        "zero.png": "found 0 bytes",
        "text.png": "not an image",
        "bomb.png": "3,600,000,000 pixels",
        "gone.png": "no such file",
        "float.tif": "a TIFF of other than 8 or 16 bits",
        "missing.png": "no such image or folder",
        "folder.png": "no image files directly in this folder",
        "secret.png": "may not read",
    }
    assert set(faults) == set(expected)
    for name, words in expected.items():
        assert words in faults[name] and str(name) in faults[name]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "summary.csv", *(f"good_{kind}.png" for kind in MAPS)
    }  # fmt: skip
    assert len(rows_of(tmp_path / "out")) == 10


def test_nothing_to_do_is_an_error(model, tmp_path):
    for given, words in (([tmp_path], "no image files directly"), ([tmp_path / "a"], "no such")):
        with pytest.raises(DataError, match=words):
            predict_files(model, given, tmp_path / "out", Progress())
    assert not (tmp_path / "out").exists()


def test_a_request_to_stop_keeps_what_is_finished(model, tmp_path):
    for name in "abc":
        Image.fromarray(PICTURE).save(tmp_path / f"{name}.png")
    with pytest.raises(Interrupted, match="after 2 of 3 images; their maps are kept"):
        predict_files(model, [tmp_path], tmp_path / "out", StopAfter(2))
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "summary.csv", *(f"{name}_{kind}.png" for name in "ab" for kind in MAPS)
    }  # fmt: skip
    assert [row["name"] for row in rows_of(tmp_path / "out")] == ["a", "b"]


def test_a_fault_while_writing_leaves_no_map_of_that_image(model, tmp_path, monkeypatch):
    for name in "ab":
        Image.fromarray(PICTURE).save(tmp_path / f"{name}.png")
    from vesselforge.segmenter.inference import predict

    calls = []

    def full(pixels):
        calls.append(pixels)
        if len(calls) == 5:  # the second image's second map
            raise OSError(28, "No space left on device")
        return images.encode_png(pixels)

    monkeypatch.setattr(predict, "encode_png", full)
    with pytest.raises(WorkspaceError, match=r"No space left on device.*another folder with -o"):
        predict_files(model, [tmp_path], tmp_path / "out", Progress())
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "summary.csv", *(f"a_{kind}.png" for kind in MAPS)
    }  # fmt: skip


def test_maps_never_fall_among_the_images(model, tmp_path):
    Image.fromarray(PICTURE).save(tmp_path / "eye.png")
    Image.fromarray(PICTURE).save(tmp_path / "eye_mask.png")
    with pytest.raises(ConfigError, match="found the folder of the images"):
        predict_files(model, [tmp_path], tmp_path, Progress())
    with pytest.raises(ConfigError, match="this image would be replaced by a map"):
        given = [tmp_path / "eye.png", tmp_path / "eye_mask.png"]
        predict_files(model, given, tmp_path, Progress())
    with pytest.raises(ConfigError, match="found a file, expected a folder"):
        predict_files(model, [tmp_path], tmp_path / "eye.png", Progress())
    assert {p.name for p in tmp_path.iterdir()} == {"eye.png", "eye_mask.png"}


def test_too_little_memory_is_a_fault_of_one_image(model, tmp_path, monkeypatch):
    Image.fromarray(PICTURE).save(tmp_path / "large.png")
    Image.fromarray(PICTURE[:40]).save(tmp_path / "small.png")
    run = model.run

    def poor(images):
        if images.shape[2] > 40:
            raise MemoryError
        return run(images)

    monkeypatch.setattr(model, "run", poor)
    rows = predict_files(model, [tmp_path], tmp_path / "out", Progress())
    assert "large.png: not enough memory" in rows[0]["error"] and "--tile" in rows[0]["error"]
    assert rows[1]["name"] == "small"
