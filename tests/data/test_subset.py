"""Subsets of image sets: which images they take, that they nest, what they refuse."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import SubsetSettings
from vesselforge.data.imageset import (
    ImageRecord,
    load_image,
    read_classes,
    read_index,
    write_index,
    write_png,
)
from vesselforge.data.subset import _rank, subset
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.progress import Interrupted, Progress


def image_set(
    folder: Path, splits: Mapping[str, str], classes: tuple[str, ...] = (), tone: int = 0
) -> Path:
    """A set of 8 × 8 images, each of a tone of its own: id → split."""
    records = []
    for number, (id_, split) in enumerate(splits.items(), start=tone):
        for kind in ("images", "masks", "weights"):
            grey = np.full((8, 8), number, np.uint8)
            pixels = np.dstack([grey] * 3) if kind == "images" else grey
            write_png(folder / kind / f"{id_}.png", pixels)
        paths = {k: f"{k}s/{id_}.png" for k in ("image", "mask", "weight")}
        records.append(
            ImageRecord(
                id=id_,
                split=split,
                confidence=0.5,
                soft=paths["mask"],
                observers={"2nd": paths["mask"]},
                **paths,
            )
        )
    write_index(folder, "made up", records, classes)
    return folder


def names(first: int, last: int, split: str = "train") -> dict[str, str]:
    return {f"s{number:03d}": split for number in range(first, last)}


def taken(
    out: Path, sets: Mapping[str, Path], count: int, order: str = "listed", seed: int = 0
) -> list[str]:
    """Ids of the training images of a subset."""
    out.mkdir()
    inputs = {
        name: Artifact(path, {"kind": "t", "digest": "0", "metrics": {}})
        for name, path in sets.items()
    }
    settings = SubsetSettings(count=count, order=order, seed=seed)
    subset(settings, inputs, out, Progress())
    return [record.id for record in read_index(out, "train")]


@pytest.fixture
def pools(tmp_path: Path) -> dict[str, Path]:
    """Two pools of ten, in each two rejected, and two validation images in the second."""
    first = names(0, 10) | {"s003": "rejected", "s009": "rejected"}
    second = names(10, 20) | {"s010": "rejected", "s015": "rejected", "v1": "validation"}
    return {
        "pool-2": image_set(tmp_path / "b", {"v0": "validation"} | second, tone=100),
        "pool-1": image_set(tmp_path / "a", first),
    }


def test_the_first_ones_in_the_order_of_the_inputs_names(
    tmp_path: Path, pools: dict[str, Path]
) -> None:
    expected = ["s000", "s001", "s002", "s004", "s005", "s006", "s007", "s008", "s011", "s012"]
    assert taken(tmp_path / "ten", pools, 10) == expected
    assert taken(tmp_path / "three", pools, 3) == expected[:3]
    assert [r.id for r in read_index(tmp_path / "three", "validation")] == ["v0", "v1"]
    assert read_index(tmp_path / "three", "rejected") == []
    metrics = json.loads((tmp_path / "ten" / "metrics.json").read_text())
    assert metrics == {"images": {"train": 10, "validation": 2}}


def test_every_file_comes_along(tmp_path: Path, pools: dict[str, Path]) -> None:
    taken(tmp_path / "out", pools, 12)
    sources = {r.id: (pools[p], r) for p in pools for r in read_index(pools[p])}
    for record in read_index(tmp_path / "out"):
        folder, original = sources[record.id]
        assert record == original
        ours, theirs = load_image(tmp_path / "out", record), load_image(folder, original)
        for name in ("image", "target", "fov", "weight"):
            assert np.array_equal(getattr(ours, name), getattr(theirs, name))
        assert (tmp_path / "out" / record.image).samefile(folder / original.image)
    files = {p.name for p in (tmp_path / "out" / "images").iterdir()}
    assert files == {f"{record.id}.png" for record in read_index(tmp_path / "out")}


def test_drawn_subsets_nest_and_keep_the_order(tmp_path: Path) -> None:
    whole = {"images": image_set(tmp_path / "set", names(0, 40))}
    drawn = [taken(tmp_path / str(n), whole, n, "drawn", 5) for n in (3, 8, 20, 40)]
    for fewer, more in pairwise(drawn):
        assert set(fewer) < set(more)
        assert more == sorted(more)
    assert [len(ids) for ids in drawn] == [3, 8, 20, 40]
    assert drawn[1] != sorted(drawn[3])[:8]
    assert taken(tmp_path / "other", whole, 8, "drawn", 6) != drawn[1]


def test_a_draw_is_what_it_was() -> None:
    """SHA-256 of seed and id, as `printf '5\\0s007' | sha256sum` has it."""
    assert _rank(5, "s007").hex()[:16] == "e6b1cf652da4246a"


def test_other_images_do_not_change_the_draw(tmp_path: Path) -> None:
    """What is drawn of the first thirty is drawn in the same order when ten more are there."""
    few = image_set(tmp_path / "few", names(0, 30))
    many = image_set(tmp_path / "many", names(0, 40))
    of_few = taken(tmp_path / "a", {"images": few}, 10, "drawn")
    of_many = taken(tmp_path / "b", {"images": many}, 10, "drawn")
    assert set(of_many) & set(names(0, 30)) <= set(of_few)


def test_too_few_images_are_counted(tmp_path: Path, pools: dict[str, Path]) -> None:
    with pytest.raises(
        DataError, match=r"pool-1, pool-2: found 16 training images, expected 17.*`pseudo_label`"
    ):
        taken(tmp_path / "out", pools, 17)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_id_or_file_of_two_inputs_is_refused(tmp_path: Path) -> None:
    sets = {n: image_set(tmp_path / n, names(0, 3)) for n in ("a", "b")}
    with pytest.raises(DataError, match="found id s000 in the inputs a and b"):
        taken(tmp_path / "out", sets, 2)
    records = [ImageRecord("other", "train", "images/s001.png")]
    write_index(sets["b"], "renamed", records)
    with pytest.raises(DataError, match=r"found file images/s001\.png in the inputs a and b"):
        taken(tmp_path / "files", sets, 2)


def test_the_same_rejected_id_in_two_inputs_is_no_matter(tmp_path: Path) -> None:
    a = image_set(tmp_path / "a", {"x": "rejected", "s0": "train"})
    b = image_set(tmp_path / "b", {"x": "train"})
    assert taken(tmp_path / "out", {"a": a, "b": b}, 2) == ["s0", "x"]


def test_classes_are_kept_and_must_agree(tmp_path: Path) -> None:
    a = image_set(tmp_path / "a", names(0, 2), ("left", "right"))
    b = image_set(tmp_path / "b", names(2, 4), ("left", "right"))
    taken(tmp_path / "out", {"a": a, "b": b}, 3)
    assert read_classes(tmp_path / "out") == ["left", "right"]
    c = image_set(tmp_path / "c", names(4, 6))
    with pytest.raises(DataError, match="different classes"):
        taken(tmp_path / "bad", {"a": a, "c": c}, 3)


def test_a_stop_ends_it_and_it_can_be_run_again(tmp_path: Path, pools: dict[str, Path]) -> None:
    class Stopped(Progress):
        done = 0

        @property
        def stop_requested(self) -> bool:  # type: ignore[override]
            return self.done >= 2

        def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
            self.done = int(done)

    inputs = {n: Artifact(p, {"kind": "t", "digest": "0", "metrics": {}}) for n, p in pools.items()}
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(Interrupted):
        subset(SubsetSettings(count=5), inputs, out, Stopped())
    assert not (out / "index.json").exists()
    subset(SubsetSettings(count=5), inputs, out, Progress())
    assert len(read_index(out, "train")) == 5
