"""The preparation stage: the same bytes every time, no test pixel among the development ones."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from dataset_writers import phantom, save, second, write_chase, write_drive, write_paired

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import DataSettings, PrepareSettings
from vesselforge.data.formats.images import read_picture
from vesselforge.data.imageset import load_image, read_index
from vesselforge.data.prepare import content_hash, prepare
from vesselforge.engine.files import file_sha256
from vesselforge.engine.progress import Progress


def settings(name: str, root: Path | None, part: str, **data: object) -> PrepareSettings:
    return PrepareSettings.model_validate(
        {"data": {"name": name, "root": root, **data}, "part": part}
    )


def prepared(out: Path, *args: object, **data: object) -> Path:
    out.mkdir(parents=True)
    prepare(settings(*args, **data), {}, out, Progress())  # type: ignore[arg-type]
    return out


def hashes(folder: Path) -> dict[str, str]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): file_sha256(p) for p in files}


def pixels(folder: Path) -> set[str]:
    return {
        hashlib.sha256(read_picture(p).rgb().tobytes()).hexdigest()
        for p in folder.rglob("images/*.png")
    }


def test_drive_at_native_resolution(tmp_path: Path) -> None:
    root = write_drive(tmp_path / "DRIVE")
    out = prepared(tmp_path / "out", "drive", root, "development")
    records = read_index(out)
    assert [r.split for r in records].count("train") == 16
    assert [r.split for r in records].count("validation") == 4
    record = next(r for r in records if r.id == "25")
    loaded = load_image(out, record)
    assert np.array_equal(loaded.image, phantom(25).image)
    assert loaded.target is not None
    assert np.array_equal(loaded.target, phantom(25).mask.astype(np.uint8) * 255)
    assert np.array_equal(loaded.fov, phantom(25).fov)


def test_second_observers_are_kept_and_the_first_is_the_reference(tmp_path: Path) -> None:
    root = write_drive(tmp_path / "DRIVE")
    out = prepared(tmp_path / "out", "drive", root, "test")
    record = next(r for r in read_index(out, "test") if r.id == "03")
    loaded = load_image(out, record)
    assert loaded.target is not None
    assert np.array_equal(loaded.target > 127, phantom(3).mask)
    assert list(loaded.observers) == ["2nd"]
    assert np.array_equal(loaded.observers["2nd"], second(phantom(3)))


def test_official_drive_download(tmp_path: Path) -> None:
    root = write_drive(tmp_path / "DRIVE", test_manuals=False)
    out = prepared(tmp_path / "out", "drive", root, "test")
    records = read_index(out, "test")
    assert len(records) == 20
    assert all(r.mask is None and not r.observers for r in records)
    assert load_image(out, records[0]).target is None
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["labelled"] == {"test": 0}
    assert metrics["vessel_share"] == {"test": None}


def test_missing_fov_is_derived(tmp_path: Path) -> None:
    root = write_chase(tmp_path / "CHASE_DB1")
    out = prepared(tmp_path / "out", "chase-db1", root, "test")
    fov = load_image(out, read_index(out)[0]).fov
    assert 0.5 < fov.mean() < 0.8


@pytest.mark.parametrize("name", ["drive", "phantom"])
def test_no_test_pixel_in_the_development_part(tmp_path: Path, name: str) -> None:
    root = write_drive(tmp_path / "DRIVE") if name == "drive" else None
    sizes = {"phantom": {"train": 3, "validation": 2, "test": 3, "size": 64}}
    development = prepared(tmp_path / "d", name, root, "development", **sizes)
    test = prepared(tmp_path / "t", name, root, "test", **sizes)
    assert {r.split for r in read_index(development)} == {"train", "validation"}
    assert {r.split for r in read_index(test)} == {"test"}
    assert pixels(development)
    assert pixels(test)
    assert not pixels(development) & pixels(test)
    if name == "drive":
        originals = {
            hashlib.sha256(read_picture(p).rgb().tobytes()).hexdigest()
            for p in (tmp_path / "DRIVE/test/images").iterdir()
        }
        assert not originals & pixels(development)
        assert originals == pixels(test)
    listed = json.loads((development / "check.json").read_text())["images"]
    assert {row["split"] for row in listed} == {"train", "validation"}


def test_the_same_bytes_wherever_the_dataset_lies(tmp_path: Path) -> None:
    outs = []
    for place in ("here", "there/deeper"):
        root = write_drive(tmp_path / place / "DRIVE", test_manuals=False)
        outs.append(prepared(tmp_path / place / "out", "drive", root, "test"))
    assert hashes(outs[0]) == hashes(outs[1])
    assert str(tmp_path) not in (outs[0] / "check.json").read_text()


def test_phantoms_twice(tmp_path: Path) -> None:
    sizes = {"phantom": {"train": 2, "validation": 1, "test": 0, "size": 64}}
    first, second = (
        prepared(tmp_path / n, "phantom", None, "development", **sizes) for n in ("1", "2")
    )
    assert hashes(first) == hashes(second)
    assert len(hashes(first)) == 3 * 3 + 3


def test_an_overlap_with_the_test_stops_the_development_part(tmp_path: Path) -> None:
    root = write_drive(tmp_path / "DRIVE")
    save(root / "test/images/05_test.tif", phantom(25).image)
    save(root / "test/mask/05_test_mask.gif", phantom(25).fov)
    with pytest.raises(DataError, match=r"25_training\.tif: .*05_test\.tif: train and test"):
        prepared(tmp_path / "out", "drive", root, "development")


@pytest.mark.parametrize("part", ["development", "test"])
def test_errors_stop_before_anything_is_written(tmp_path: Path, part: str) -> None:
    root = write_paired(tmp_path / "set")
    (root / "masks/c.png").unlink()
    save(root / "masks/d.png", np.zeros((64, 64), np.uint8))
    with pytest.raises(DataError, match=r"and 1 more; `vesselforge data check` lists all"):
        prepared(tmp_path / "out", "paired", root, part)
    assert list((tmp_path / "out").iterdir()) == []


def test_empty_test_part(tmp_path: Path) -> None:
    sizes = {"phantom": {"train": 1, "validation": 1, "test": 0, "size": 64}}
    with pytest.raises(DataError, match="found no test image"):
        prepared(tmp_path / "out", "phantom", None, "test", **sizes)


def test_content_hash_follows_content_not_place(tmp_path: Path) -> None:
    def hashed(root: Path, **options: object) -> str:
        return content_hash(
            DataSettings.model_validate({"name": "paired", "root": root, **options})
        )

    here, there = write_paired(tmp_path / "a"), write_paired(tmp_path / "b")
    before = hashed(here)
    assert before == hashed(there)
    assert before != hashed(here, validation_share=0.6, test_share=0.1)
    (there / "readme.txt").write_text("not part of the dataset")
    assert before == hashed(there)
    save(there / "masks/a.png", phantom(1).mask)
    assert before != hashed(there)
    (here / "images/a.png").rename(here / "images/z.png")
    (here / "masks/a.png").rename(here / "masks/z.png")
    assert before != hashed(here)


def test_content_hash_of_phantoms_is_that_of_their_settings() -> None:
    def hashed(**phantom: int) -> str:
        return content_hash(DataSettings.model_validate({"phantom": phantom}))

    assert hashed() == hashed()
    assert hashed(seed=1) != hashed(seed=2)


def test_content_hash_names_a_missing_file(tmp_path: Path) -> None:
    root = write_drive(tmp_path / "DRIVE")
    (root / "training/images/30_training.tif").unlink()
    with pytest.raises(DataError, match=r"30_training\.tif: no such file"):
        content_hash(DataSettings.model_validate({"name": "drive", "root": root}))
