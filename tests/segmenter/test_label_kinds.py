"""Labels of samples that bring masks: the teacher's, their own, and their own where both agree."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from segmenter_helpers import TINY, StopAfter, artifact, hashes, phantom_set, trained

from vesselforge.configs.settings import LabelSettings, PseudoLabelSettings
from vesselforge.data.imageset import load_image, read_index, write_png
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.labels.labeller import agreed
from vesselforge.segmenter.labels.pseudo_labels import label
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.training.fit import train

pytestmark = pytest.mark.slow

OPEN: dict[str, Any] = {"min_confidence": 0, "min_vessel_share": 0, "max_vessel_share": 1}
"""Settings that reject nothing but for agreement."""
AGREE: dict[str, Any] = {"labels": "agreement", "min_agreement": 0}
COUNT = 6
Labelled = tuple[Path, list[dict[str, str]], dict[str, Any]]
Run = Callable[..., Labelled]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher, a real set, and samples with masks, the last of which is empty."""
    folder = tmp_path_factory.mktemp("room")
    phantom_set(folder / "real", {"train": 3, "validation": 2})
    settings = TINY.model_copy(update={"steps": 24, "lr": 5e-3})
    trained(folder / "teacher", folder / "real", settings)
    phantom_set(folder / "samples", {"train": COUNT})
    write_png(folder / f"samples/masks/{COUNT - 1:02d}.png", np.zeros((64, 64), np.uint8))
    scores = folder / "scores"
    scores.mkdir()
    ids = [f"{i:02d}" for i in range(COUNT)]
    closest = [f"{id_},0.5,{int(id_ == '02')},real" for id_ in ids]
    (scores / "closest.csv").write_text("\n".join(["sample,distance,suspicious,image", *closest]))
    return folder


@pytest.fixture
def run(room: Path, tmp_path: Path) -> Run:
    """(settings, names of inputs beside samples and images) → what the stage made."""

    def run(settings: dict[str, Any], *names: str) -> Labelled:
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        inputs = {name: artifact(room / name) for name in names}
        inputs |= {"samples": artifact(room / "samples"), "images": artifact(room / "real")}
        label(LabelSettings(**OPEN | settings), inputs, out, Progress())
        rows = list(csv.DictReader((out / "labels.csv").open()))
        return out, rows, json.loads((out / "metrics.json").read_text())

    return run


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def own_masks(room: Path) -> dict[str, np.ndarray]:
    """Id → the mask that comes with the sample, inside its field of view."""
    found = {}
    for record in read_index(room / "samples"):
        loaded = load_image(room / "samples", record)
        assert loaded.target is not None
        found[record.id] = (loaded.target > 127) & loaded.fov
    return found


def probabilities(room: Path) -> dict[str, np.ndarray]:
    """Id → what the teacher sees in the sample, inside its field of view."""
    teacher, found = Model.load(room / "teacher"), {}
    for record in read_index(room / "samples"):
        loaded = load_image(room / "samples", record)
        found[record.id] = teacher.predict(loaded.image) * loaded.fov
    return found


# Own masks.


def test_own_masks_become_hard_labels_and_no_teacher_is_asked(room: Path, run: Run) -> None:
    out, rows, metrics = run({"labels": "own", "min_confidence": 0.9})
    assert not (out / "soft").exists() and not (out / "weights").exists()
    for record in read_index(out):
        assert (record.split, record.soft, record.weight, record.confidence) == (
            "train", None, None, None,
        )  # fmt: skip
        for soft in (True, False):  # there is nothing else to take
            target = load_image(out, record, soft=soft).target
            np.testing.assert_array_equal(target > 127, own_masks(room)[record.id])
    assert {(row["confidence"], row["agreement"]) for row in rows} == {("", "")}
    assert (metrics["kept"], metrics["mean_confidence"]) == (COUNT, None)
    assert "mean_agreement" not in metrics


def test_teacher_and_own_differ_in_the_label_alone(room: Path, run: Run) -> None:
    own, _, _ = run({"labels": "own"})
    taught, _, _ = run({"labels": "teacher"}, "teacher")
    prob, threshold = probabilities(room), Model.load(room / "teacher").threshold
    for here, there in zip(read_index(own), read_index(taught), strict=True):
        assert (here.id, here.split, here.image, here.fov) == (
            there.id, there.split, there.image, there.fov,
        )  # fmt: skip
        assert (own / here.image).read_bytes() == (taught / there.image).read_bytes()
        assert (own / str(here.fov)).read_bytes() == (taught / str(there.fov)).read_bytes()
        seen = load_image(taught, there, soft=False).target
        np.testing.assert_array_equal(seen > 127, prob[there.id] >= threshold)
        assert there.soft is not None and here.soft is None


def test_filters_judge_the_own_masks(room: Path, run: Run) -> None:
    masks = own_masks(room)
    shares = {}
    for record in read_index(room / "samples"):
        shares[record.id] = masks[record.id][load_image(room / "samples", record).fov].mean()
    _, rows, _ = run({"labels": "own", "min_vessel_share": 0.001})
    assert [row["reason"].split(" ")[0] for row in rows] == [""] * (COUNT - 1) + ["vessel-share"]
    for row in rows:
        assert float(row["vessel_share"]) == pytest.approx(shares[row["id"]], abs=1e-4)

    # Samples 00 to 02 are the real training images, as phantoms of the same seeds.
    _, rows, metrics = run({"labels": "own", "real_range": 1.0})
    reasons = {row["id"]: row["reason"] for row in rows}
    assert all(reasons[id_] == "" for id_ in ("00", "01", "02"))
    assert reasons["05"].startswith("real-range density 0 is below")
    assert metrics["real_range"]["64×64"]["density"][0] > 0
    assert all(row["ends"] and row["branchings"] for row in rows)

    settings = {"labels": "own", "reject_copies": True}
    _, rows, _ = run(settings, "scores")
    found = {row["id"]: row["reason"].split(" ")[0] for row in rows if row["reason"]}
    assert found == {"02": "copies"}


# Agreement.


def slack_dice(a: np.ndarray, b: np.ndarray) -> float:
    """Harmonic mean of how much of each lies within one row and column of the other, by loops."""

    def hit(ours: np.ndarray, others: np.ndarray) -> float:
        near = [
            others[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].any()
            for y, x in zip(*np.nonzero(ours), strict=True)
        ]
        return float(np.mean(near)) if near else 0.0

    p, q = hit(a, b), hit(b, a)
    return 2 * p * q / (p + q) if p and q else 0.0


def test_agreement_keeps_own_masks_and_weighs_what_the_teacher_doubts(room: Path, run: Run) -> None:
    out, rows, metrics = run(AGREE, "teacher")
    masks, prob = own_masks(room), probabilities(room)
    threshold = Model.load(room / "teacher").threshold
    expected = {id_: slack_dice(masks[id_], prob[id_] >= threshold) for id_ in masks}
    for record in read_index(out):
        assert record.soft is None and record.weight is not None and record.confidence is not None
        loaded = load_image(out, record)
        np.testing.assert_array_equal(loaded.target > 127, masks[record.id])
        weight = 1 - np.abs(masks[record.id] - prob[record.id])
        np.testing.assert_allclose(loaded.weight / 255, weight, atol=0.5 / 255 + 1e-6)
    assert {row["id"]: float(row["agreement"]) for row in rows} == pytest.approx(expected, abs=1e-4)
    assert metrics["mean_agreement"] == pytest.approx(np.mean(list(expected.values())), abs=1e-4)

    ordered = sorted(expected.values())
    limit = (ordered[2] + ordered[3]) / 2
    assert ordered[2] < limit < ordered[3]
    out, rows, metrics = run(AGREE | {"min_agreement": limit}, "teacher")
    low = {id_ for id_, value in expected.items() if value < limit}
    assert {record.id for record in read_index(out, "rejected")} == low
    assert metrics["reasons"] == {"agreement": 3}
    reason = next(row["reason"] for row in rows if row["id"] in low)
    assert reason.startswith("agreement 0.") and reason.endswith(f"is below {limit:g}")


def test_a_pixel_of_slack_and_no_more() -> None:
    mask = make_phantom(0, 128).mask
    assert agreed(mask, mask) == 1
    for dy, dx in itertools.product((-1, 0, 1), repeat=2):
        assert agreed(mask[1:-1, 1:-1], np.roll(mask, (dy, dx), (0, 1))[1:-1, 1:-1]) > 0.98
    assert agreed(mask, np.roll(mask, 3, 1)) < 0.8
    assert agreed(mask, np.rot90(mask)) < 0.5
    empty = np.zeros_like(mask)
    assert (agreed(empty, mask), agreed(mask, empty), agreed(empty, empty)) == (0, 0, 1)


# The negative control.


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"labels": "own", "real_range": 1.0}, ()),
        ({"labels": "teacher", "pixel_weights": "certainty"}, ("teacher",)),
    ],
)
def test_turned_masks_lie_upside_down_and_nothing_else_changes(
    run: Run, settings: dict[str, Any], names: tuple[str, ...]
) -> None:
    straight, rows, metrics = run(settings, *names)
    turned, same, facts = run(settings | {"turned_masks": True}, *names)
    assert (rows, metrics) == (same, facts)  # filters judge the masks as they were
    assert [r.split for r in read_index(straight)] == [r.split for r in read_index(turned)]
    upside_down = 0
    for record in read_index(turned):
        fov = pixels(turned / f"fov/{record.id}.png")
        np.testing.assert_array_equal(fov, pixels(straight / f"fov/{record.id}.png"))
        layers = {"masks": 0, "soft": 0, "weights": 255}  # of pixels outside the field of view
        for layer in [name for name in layers if (straight / name).exists()]:
            before = pixels(straight / layer / f"{record.id}.png")
            after = pixels(turned / layer / f"{record.id}.png")
            expected = np.where(fov > 0, before[::-1, ::-1], layers[layer])
            np.testing.assert_array_equal(after, expected)
            upside_down += not np.array_equal(after, before)
        image = load_image(straight, record).image
        np.testing.assert_array_equal(load_image(turned, record).image, image)
    assert upside_down >= COUNT - 1


# What cannot be.


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": "agreement", "turned_masks": True}, "goes with labels: own or teacher"),
        ({"labels": "mine"}, "'teacher', 'own' or 'agreement'"),
        ({"min_agreement": 1.2}, "less than or equal to 1"),
    ],
)
def test_settings_that_nothing_can_be_measured_by_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        LabelSettings(**settings)


def test_the_filters_of_a_config_fit_every_kind() -> None:
    for kind in ("teacher", "own", "agreement"):
        made = LabelSettings(**PseudoLabelSettings().model_dump(), labels=kind)
        assert made.min_confidence == 0.6 and made.min_agreement == 0.5


def test_an_interrupted_stage_is_run_again(room: Path, tmp_path: Path) -> None:
    settings = LabelSettings(**OPEN | AGREE)
    inputs = {name: artifact(room / name) for name in ("samples", "teacher")}
    inputs["images"] = artifact(room / "real")
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    label(settings, inputs, tmp_path / "whole", Progress())
    with pytest.raises(Interrupted):
        label(settings, inputs, tmp_path / "parts", StopAfter(3))
    label(settings, inputs, tmp_path / "parts", Progress())
    assert hashes(tmp_path / "parts") == hashes(tmp_path / "whole")


# What is made of it.


@pytest.mark.parametrize("kind", ["own", "agreement"])
def test_a_student_learns_from_own_masks(room: Path, run: Run, tmp_path: Path, kind: str) -> None:
    names = () if kind == "own" else ("teacher",)
    out, _, _ = run({"labels": kind, "min_agreement": 0}, *names)
    inputs = {"images": artifact(out), "validation": artifact(room / "real")}
    (tmp_path / "student").mkdir()
    train(TINY, inputs, tmp_path / "student", Progress())
    assert Model.load(tmp_path / "student").networks
