"""Predicting a user's files: every kind of image gives the maps of its picture."""

from __future__ import annotations

import re
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from picture_encodings import every
from PIL import Image
from predicting import PHANTOM, PICTURE, rows_of, written
from segmenter_helpers import hashes

from vesselforge.engine.progress import Progress
from vesselforge.segmenter.inference.predict import (
    find_images,
    output_names,
    predict_files,
)
from vesselforge.segmenter.inference.showing import showing


def save_kinds(folder: Path) -> None:
    """The same picture in every disguise that loses nothing of it."""
    folder.mkdir()
    picture = Image.fromarray(PICTURE)
    picture.save(folder / "plain.png")
    picture.save(folder / "bitmap.BMP")
    Image.fromarray(np.dstack([PICTURE, np.full_like(PICTURE[..., 0], 255)])).save(
        folder / "rgba.png"
    )
    deep = PICTURE.astype(np.uint16) * 257
    (folder / "deep.png").write_bytes(imagecodecs.png_encode(deep))
    tifffile.imwrite(folder / "deep-too.tif", deep, photometric="rgb")
    turned = Image.Exif()
    turned[0x0112] = 6  # the camera was held sideways
    picture.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.png", exif=turned)
    picture.convert("CMYK").save(folder / "cmyk.tif")
    picture.save(folder / "web.webp", lossless=True)


def test_every_kind_of_image_gives_the_maps_of_its_picture(model, tmp_path):
    save_kinds(tmp_path / "in")
    rows = predict_files(model, [tmp_path / "in"], tmp_path / "out", Progress())
    prob = model.predict(PICTURE)
    names = {Path(row["file"]).stem for row in rows}
    assert len(rows) == 8 == len(names)
    for row in rows:
        assert (row["width"], row["height"], row["scale"]) == (96, 80, 1)
        maps = written(tmp_path / "out", row["name"])
        np.testing.assert_array_equal(maps["probability"], np.rint(prob * 255))
        np.testing.assert_array_equal(maps["mask"], (prob >= 0.5) * 255)
        np.testing.assert_array_equal(maps["overlay"][prob < 0.5], PICTURE[prob < 0.5])
        assert (maps["overlay"][prob >= 0.5] != PICTURE[prob >= 0.5]).any()


def test_every_encoding_of_a_picture_gives_the_same_maps(model, tmp_path):
    files = every(tmp_path)
    rows = predict_files(model, [path for path, _ in files], tmp_path / "out", Progress())
    assert len(rows) == len(files) > 140
    maps: dict[bytes, np.ndarray] = {}
    for row, (path, expected) in zip(rows, files, strict=True):
        key = expected.tobytes()
        if key not in maps:
            maps[key] = np.rint(model.predict(np.ascontiguousarray(expected)) * 255)
        found = written(tmp_path / "out", row["name"])
        np.testing.assert_array_equal(found["probability"], maps[key], err_msg=path.name)
        fewer = re.match(r"(8|12)-in|g(8|12)\.|g(8|12)-rgb|turn\d-deep", path.name)
        assert ("16 bits, read as" in row["remark"]) == bool(fewer), path.name


def test_grey_and_palette_images(model, tmp_path):
    grey = PICTURE[..., 1]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "grey16.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "palette.png")
    predict_files(model, [tmp_path], tmp_path / "out", Progress())
    wanted = model.predict(np.repeat(grey[..., None], 3, axis=2))
    for name in ("grey", "grey16", "palette"):
        found = written(tmp_path / "out", name)
        np.testing.assert_array_equal(found["probability"], np.rint(wanted * 255))


def test_the_summary_counts_what_the_maps_show(model, tmp_path, monkeypatch):
    phantom = PHANTOM
    Image.fromarray(phantom.image).save(tmp_path / "eye.png")
    prob = model.predict(phantom.image, flips=True)
    threshold = round(float(np.median(prob[phantom.fov])), 4)  # half of the FOV
    monkeypatch.setattr(model, "threshold", threshold)
    given = [tmp_path / "eye.png"]
    (row,) = predict_files(model, given, tmp_path / "out", Progress(), flips=True, bits=16)
    maps = written(tmp_path / "out", "eye")
    assert maps["probability"].dtype == np.uint16
    np.testing.assert_array_equal(maps["probability"], np.rint(prob * 65535))
    mask = maps["mask"] > 0
    np.testing.assert_array_equal(mask, prob >= threshold)
    assert 0.5 < row["fov_share"] < 0.9  # found in the image; the phantom's own is close
    assert row["vessel_share"] == pytest.approx(mask.mean(), abs=1e-6)
    inside = mask[phantom.fov].mean()
    assert row["vessel_share_fov"] == pytest.approx(inside, abs=0.02)
    assert abs(inside - mask.mean()) > 0.03  # so that the two cannot be mixed up
    (told,) = rows_of(tmp_path / "out")
    assert (
        float(told["vessel_share"]) == row["vessel_share"] and float(told["threshold"]) == threshold
    )
    assert float(told["seconds"]) > 0 and told["error"] == ""


def test_tiny_images_are_images(model, tmp_path):
    for height, width in ((1, 1), (1, 40), (300, 3)):
        Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(tmp_path / f"{height}.png")
    (tmp_path / "1.png").rename(tmp_path / "flat.png")
    rows = predict_files(model, [tmp_path], tmp_path / "out", Progress())
    assert [(row["width"], row["height"]) for row in rows] == [(3, 300), (40, 1)]
    assert written(tmp_path / "out", "flat")["mask"].shape == (1, 40)


def test_equal_stems_get_names_that_tell_them_apart(tmp_path):
    def named(*files: str) -> list[str]:
        return output_names([tmp_path / file for file in files])

    assert named("a/eye.png", "b/eye.png", "b/other.png") == ["a-eye", "b-eye", "other"]
    assert named("x/a/1/eye.png", "x/b/1/eye.png") == ["a-1-eye", "b-1-eye"]
    assert named("eye.png", "eye.jpg", "eye.v2.png") == ["eye.png", "eye.jpg", "eye.v2"]
    assert named("a/eye.png", "a/eye.tif", "b/eye.png") == ["a-eye.png", "a-eye.tif", "b-eye"]
    assert named("a-eye.png", "a/eye.png", "b/eye.png") == ["a-eye", "a-eye-2", "b-eye"]
    assert named("a/Eye.png", "b/eye.png") == ["a-Eye", "b-eye"]


def test_two_folders_with_equal_names_lose_nothing(model, tmp_path):
    pictures = {"left": PICTURE[:, :64], "right": PICTURE[::-1]}
    for side, picture in pictures.items():
        (tmp_path / side).mkdir()
        Image.fromarray(picture).save(tmp_path / side / "eye.png")
    given = [tmp_path / "left", tmp_path / "right", tmp_path / "left" / "eye.png"]
    rows = predict_files(model, given, tmp_path / "out", Progress())
    assert [row["name"] for row in rows] == ["left-eye", "right-eye"]  # each once
    for side, picture in pictures.items():
        found = written(tmp_path / "out", f"{side}-eye")["probability"]
        np.testing.assert_array_equal(found, np.rint(model.predict(picture) * 255))


def test_a_second_run_replaces_the_first(model, tmp_path, monkeypatch):
    Image.fromarray(PICTURE).save(tmp_path / "eye.png")
    predict_files(model, [tmp_path / "eye.png"], tmp_path / "out", Progress())
    first = hashes(tmp_path / "out")
    monkeypatch.setattr(model, "threshold", 0.9)
    predict_files(model, [tmp_path / "eye.png"], tmp_path / "out", Progress())
    second = hashes(tmp_path / "out")
    assert set(first) == set(second)
    assert {name for name in first if first[name] != second[name]} == {
        "eye_mask.png", "eye_overlay.png", "summary.csv"
    }  # fmt: skip
    assert rows_of(tmp_path / "out")[0]["threshold"] == "0.9"


def test_the_field_of_view_can_be_brought_to_a_width(model, tmp_path, monkeypatch):
    phantom = PHANTOM
    columns = np.flatnonzero(phantom.fov.any(0))
    scale = showing(model, phantom.image, phantom.fov, 100).scale
    assert scale == 100 / (columns[-1] - columns[0] + 1)
    assert showing(model, phantom.image, phantom.fov, "native").scale == 1
    seen = []

    run = model.run

    def noted(images):
        seen.append(tuple(images.shape[2:]))
        return run(images)

    monkeypatch.setattr(model, "run", noted)
    prob = model.predict(phantom.image, scale=scale)
    assert prob.shape == (128, 128) and seen == [(round(128 * scale), round(128 * scale))]
    assert prob.min() >= 0 and prob.max() <= 1
    monkeypatch.undo()
    Image.fromarray(phantom.image).save(tmp_path / "eye.png")
    given = [tmp_path / "eye.png"], tmp_path / "out", Progress()
    (row,) = predict_files(model, *given, fov_width=100)
    assert row["scale"] == pytest.approx(scale, rel=0.03) and row["width"] == 128
    assert (row["found_by"], row["fov_width"]) == ("given", 100)
    (row,) = predict_files(model, *given, fov_width=8000)
    assert "eye.png: found a field of view of" in row["error"]


def test_folders_are_read_in_order_and_hidden_files_left_out(tmp_path):
    for name in ("b.png", "a.JPG", ".hidden.png", "._c.png", "notes.txt", "z.ppm.gz"):
        (tmp_path / name).write_bytes(b"")
    files, faults = find_images([tmp_path])
    assert [file.name for file in files] == ["a.JPG", "b.png", "z.ppm.gz"] and not faults
