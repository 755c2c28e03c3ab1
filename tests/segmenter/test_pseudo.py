"""The stage that labels synthetic images: what it writes, what it needs, and that it adds up."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from segmenter_helpers import TINY, artifact, hashes, phantom_set, trained

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import LabelSettings
from vesselforge.data.imageset import ImageRecord, load_image, read_index, write_index, write_png
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.labels.pseudo_labels import COLUMNS, label
from vesselforge.segmenter.models import Model

pytestmark = pytest.mark.slow

OPEN: dict[str, Any] = {"min_confidence": 0, "min_vessel_share": 0, "max_vessel_share": 1}
"""Settings that reject nothing."""
BASE: dict[str, str | Path] = {"samples": "samples", "images": "real", "teacher": "a"}
"""Name of an input → its folder."""
Labelled = tuple[Path, list[dict[str, str]], dict[str, Any]]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher, a real set, samples of its size, and the scores of these samples."""
    folder = tmp_path_factory.mktemp("room")
    phantom_set(folder / "real", {"train": 3, "validation": 2})
    phantom_set(folder / "samples", {"train": 8})
    settings = TINY.model_copy(update={"steps": 24, "lr": 5e-3})
    trained(folder / "a", folder / "real", settings)
    scores = folder / "scores"
    scores.mkdir()
    write_scores(scores)
    return folder


def write_scores(folder: Path, suspicious: str = "1") -> None:
    """Sample 02 is suspicious."""
    ids = [f"{i:02d}" for i in range(8)]
    closest = [
        f"{rank},{id_},0.{rank},{suspicious if id_ == '02' else 0},real-1,0,0,0"
        for rank, id_ in enumerate(ids, 1)
    ]
    head = "rank,sample,distance,suspicious,image,y,x,turned"
    (folder / "closest.csv").write_text("\n".join([head, *closest]) + "\n")


@pytest.fixture
def run(room: Path, tmp_path: Path) -> Callable[..., Labelled]:
    """(settings, further inputs: name → folder) → what the stage made."""

    def run(settings: dict[str, Any], **further: str | Path) -> Labelled:
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        inputs: dict[str, Artifact] = {
            name.replace("_", "-"): artifact(room / folder)
            for name, folder in (BASE | further).items()
        }
        label(LabelSettings(**OPEN | settings), inputs, out, Progress())
        rows = list(csv.DictReader((out / "labels.csv").open()))
        return out, rows, json.loads((out / "metrics.json").read_text())

    return run


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_labels_are_the_teachers_and_rejections_have_reasons(
    room: Path, run: Callable[..., Labelled]
) -> None:
    out, rows, metrics = run({})
    assert tuple(rows[0]) == COLUMNS
    teacher = Model.load(room / "a")
    records = read_index(out, "train")
    assert (len(records), metrics["drawn"], metrics["kept"]) == (8, 8, 8)
    assert {row["nearest"] for row in rows} == {row["agreement"] for row in rows} == {""}
    for record, source in zip(records, read_index(room / "samples"), strict=True):
        original = load_image(room / "samples", source)
        prob = teacher.predict(original.image) * original.fov
        labelled = load_image(out, record)
        assert labelled.target is not None and labelled.weight is None
        np.testing.assert_allclose(labelled.target / 255, prob, atol=0.5 / 255 + 1e-6)
        hard = load_image(out, record, soft=False).target
        np.testing.assert_array_equal(hard > 127, prob >= teacher.threshold)
        np.testing.assert_array_equal(labelled.image, original.image)

    shares = sorted(float(row["vessel_share"]) for row in rows)
    middle = (shares[3] + shares[4]) / 2  # rejects exactly the four with fewer vessels
    assert shares[3] < middle < shares[4]
    out, rows, metrics = run({"min_vessel_share": middle})
    assert (metrics["kept"], metrics["rejected"]) == (4, 4)
    assert metrics["reasons"] == {"vessel-share": 4}
    fewer = {row["id"] for row in rows if float(row["vessel_share"]) < middle}
    assert {r.id for r in read_index(out, "rejected")} == fewer
    assert {row["id"] for row in rows if row["kept"] == "0"} == fewer
    kept = [float(row["confidence"]) for row in rows if row["kept"] == "1"]
    assert metrics["mean_confidence"] == pytest.approx(np.mean(kept), abs=1e-4)
    several = [float(row["vessel_share"]) for row in rows if row["kept"] == "1"]
    assert metrics["vessel_share"] == {
        "all": pytest.approx(np.mean(shares), abs=1e-4),
        "kept": pytest.approx(np.mean(several), abs=1e-4),
    }


def test_a_pool_may_be_rejected_as_a_whole(run: Callable[..., Labelled]) -> None:
    out, rows, metrics = run({"min_confidence": 1.0})
    assert (metrics["drawn"], metrics["kept"], metrics["rejected"]) == (8, 0, 8)
    assert metrics["reasons"] == {"confidence": 8} and metrics["mean_confidence"] is None
    assert not read_index(out, "train") and len(read_index(out, "rejected")) == 8
    assert all(row["reason"].startswith("confidence ") for row in rows)


def test_certainty_weights(room: Path, run: Callable[..., Labelled]) -> None:
    out, _, _ = run({"pixel_weights": "certainty"})
    model = Model.load(room / "a")
    for record in read_index(out)[:2]:
        image = load_image(out, record)
        p = model.predict(image.image) * image.fov
        np.testing.assert_allclose(
            pixels(out / f"soft/{record.id}.png") / 255, p, atol=0.5 / 255 + 1e-5
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -np.nan_to_num(p * np.log2(p)) - np.nan_to_num((1 - p) * np.log2(1 - p))
        weight = load_image(out, record).weight / 255
        np.testing.assert_allclose(weight, 1 - entropy, atol=0.5 / 255 + 1e-4)


def test_scores_reject_copies(run: Callable[..., Labelled]) -> None:
    _, rows, metrics = run({"reject_copies": True}, scores="scores")
    found = {row["id"]: row["reason"].split(" ")[0] for row in rows if row["kept"] == "0"}
    assert found == {"02": "copies"} and metrics["reasons"] == {"copies": 1}
    assert rows[2]["nearest"] == "real-1" and rows[2]["suspicious"] == "1"


def test_real_masks_give_ranges(run: Callable[..., Labelled]) -> None:
    _, rows, metrics = run({})
    assert metrics["kept"] == 8 and "real_range" not in metrics
    assert all(row["density"] and row["in_range"] in ("0", "1") for row in rows)
    share = np.mean([int(row["in_range"]) for row in rows])
    assert metrics["in_range"] == {"all": pytest.approx(share), "kept": pytest.approx(share)}

    _, rows, metrics = run({"real_range": 1.0})
    ranges, counted = metrics["real_range"]["64×64"], 0
    for row in rows:
        figures = ("density", "calibre", "components")  # in this order
        wrong = [n for n in figures if not ranges[n][0] <= float(row[n]) <= ranges[n][1]]
        expected = f"real-range {wrong[0]}" if wrong else ""
        assert row["reason"].startswith(expected) and bool(row["reason"]) == bool(expected)
        counted += bool(expected)
    assert metrics["rejected"] == counted == sum(metrics["reasons"].values())


@pytest.mark.parametrize(
    ("settings", "further", "message"),
    [
        ({"reject_copies": True}, {"scores": "unsure"}, "found '' as `suspicious` of 02"),
        ({"real_range": 0.9}, {"images": "small"}, "samples of 64×64 pixels and no real image"),
    ],
)
def test_what_cannot_be_compared_is_named(
    room: Path,
    run: Callable[..., Labelled],
    settings: dict[str, Any],
    further: dict[str, str],
    message: str,
) -> None:
    phantom_set(room / "small", {"train": 1}, size=40)
    (room / "unsure").mkdir(exist_ok=True)
    write_scores(room / "unsure", suspicious="")
    with pytest.raises(DataError, match=message):
        run(settings, **further)


class StopAfter(Progress):
    """Asks to stop after so many images."""

    def __init__(self, images: int) -> None:
        self.images = images

    def update(self, done: float, total: float, unit: str = "", **stats: float) -> None:
        self.stop_requested = done >= self.images


def test_an_interrupted_stage_is_run_again(room: Path, tmp_path: Path) -> None:
    settings = LabelSettings(**OPEN, pixel_weights="certainty", real_range=0.9)
    inputs = {name: artifact(room / folder) for name, folder in BASE.items()}
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    label(settings, inputs, tmp_path / "whole", Progress())
    with pytest.raises(Interrupted):
        label(settings, inputs, tmp_path / "parts", StopAfter(3))
    assert not (tmp_path / "parts" / "index.json").exists()
    label(settings, inputs, tmp_path / "parts", Progress())
    assert hashes(tmp_path / "parts") == hashes(tmp_path / "whole")


def test_images_keep_their_format(room: Path, tmp_path: Path) -> None:
    samples = tmp_path / "samples"
    image = pixels(room / "samples" / "images" / "00.png")
    write_png(samples / "images" / "kept.png", image)
    (samples / "images" / "kept.png").rename(samples / "images" / "x.tif")
    Image.fromarray(image).save(samples / "images" / "x.tif", format="TIFF")
    write_index(samples, "one", [ImageRecord("x", "train", "images/x.tif")])
    out = tmp_path / "out"
    out.mkdir()
    inputs = {name: artifact(room / folder) for name, folder in BASE.items()}
    inputs["samples"] = artifact(samples)
    label(LabelSettings(**OPEN), inputs, out, Progress())
    [record] = read_index(out)
    assert record.image == "images/x.tif"
    np.testing.assert_array_equal(load_image(out, record).image, image)
