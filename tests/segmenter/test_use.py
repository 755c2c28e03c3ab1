"""What trained segmenters are for: prediction, ensembles, evaluation."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from metric_helpers import score
from PIL import Image
from segmenter_helpers import TINY, artifact, hashes, phantom_set, trained

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import EnsembleSettings, EvaluateSettings
from vesselforge.data.imageset import load_image, read_index
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.ensemble import ensemble
from vesselforge.segmenter.evaluate import evaluate
from vesselforge.segmenter.inference.predict import as_png, predict_files
from vesselforge.segmenter.inference.showing import showing
from vesselforge.segmenter.metrics.confusion import f1_of
from vesselforge.segmenter.metrics.probabilities import best_threshold
from vesselforge.segmenter.metrics.scores import METRICS, mean_interval
from vesselforge.segmenter.models import Model

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("room")
    phantom_set(folder / "set", {"train": 3, "validation": 2, "test": 3})
    trained(folder / "a", folder / "set")
    trained(folder / "b", folder / "set", TINY.model_copy(update={"seed": 1}))
    return folder


def test_prediction_keeps_the_size_and_skips_a_bad_file(room: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(RNG.integers(0, 255, (37, 53, 3), dtype=np.uint8)).save(pictures / "odd.png")
    (pictures / "broken.tif").write_bytes(b"II*\0 not a picture")
    rows = predict_files(Model.load(room / "a"), [pictures], tmp_path / "out", Progress())
    assert "broken.tif" in rows[0]["error"]
    assert (rows[1]["width"], rows[1]["height"]) == (53, 37)
    for what in ("probability", "mask", "overlay"):
        with Image.open(tmp_path / "out" / f"odd_{what}.png") as picture:
            assert picture.size == (53, 37)
    with pytest.raises(DataError, match="no such image"):
        predict_files(Model.load(room / "a"), [tmp_path / "nowhere"], tmp_path / "out", Progress())


def test_ensemble_is_the_mean_of_its_members(room: Path, tmp_path: Path) -> None:
    inputs = {"a": artifact(room / "a"), "b": artifact(room / "b")}
    inputs["validation"] = artifact(room / "set")
    ensemble(EnsembleSettings(), inputs, tmp_path, Progress())
    image = RNG.integers(0, 255, (48, 40, 3), dtype=np.uint8)
    each = [Model.load(room / name).predict(image) for name in ("a", "b")]
    both = Model.load(tmp_path)
    np.testing.assert_allclose(both.predict(image), np.mean(each, axis=0), atol=1e-6)
    found = json.loads((tmp_path / "metrics.json").read_text())["validation"]
    assert both.threshold == found["threshold"]


def test_evaluation_equals_the_scores_of_its_predictions(room: Path, tmp_path: Path) -> None:
    inputs = {"test": artifact(room / "set"), "a": artifact(room / "a"), "b": artifact(room / "b")}
    evaluate(EvaluateSettings(bootstrap=200), inputs, tmp_path, Progress())
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["images"] == 3
    assert set(found["models"]) == {"a", "b"}
    assert found["observers"]["2nd"]["fov"]["pooled"]["f1"] == 1.0  # the same mask twice
    assert found["observers"]["2nd"]["fov"]["pooled"]["auc"] is None
    model = Model.load(room / "a")
    images = [load_image(room / "set", record) for record in read_index(room / "set", "test")]
    f1 = [
        score(model.predict(i.image), i.target > 127, i.fov, model.threshold)["f1"] for i in images
    ]
    mean, low, high = found["models"]["a"]["fov"]["mean"]["f1"]
    assert mean == pytest.approx(np.mean(f1), abs=1e-5)
    assert low <= mean <= high
    rows = list(csv.DictReader((tmp_path / "per_image.csv").open()))
    assert len(rows) == 3 * 2 * 3  # two models and an observer, two regions, three images
    curves = json.loads((tmp_path / "curves.json").read_text())["a"]
    area = np.trapezoid(curves["roc"]["tpr"], curves["roc"]["fpr"])
    assert area == pytest.approx(found["models"]["a"]["fov"]["pooled"]["auc"], abs=0.01)
    assert set(found["models"]["a"]["whole"]["pooled"]) == set(METRICS)
    assert set(rows[0]) == {"model", "id", "region", *METRICS, "f1_best"}
    pairs = [(model.predict(i.image)[i.fov], i.target[i.fov] > 127) for i in images]
    prob, truth = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    thresholds = [k / 500 for k in range(1, 500)]
    best = max(thresholds, key=lambda t: f1_of(prob >= t, truth))
    assert found["models"]["a"]["fov"]["best_threshold"] == pytest.approx(best)
    again = [f1_of(p >= best, t) for p, t in pairs]
    mine = [r for r in rows if (r["model"], r["region"]) == ("a", "fov")]
    assert [float(r["f1_best"]) for r in mine] == pytest.approx(again, abs=1e-6)
    mean = found["models"]["a"]["fov"]["mean"]["f1_best"][0]
    assert mean == pytest.approx(np.mean(again), abs=1e-6)
    # The second observer's masks are the first one's: the same scores, in their own places.
    for region in ("fov", "whole"):
        against = found["models"]["a"]["against"]["2nd"][region]
        assert against == found["models"]["a"][region]
    further = list(csv.DictReader((tmp_path / "per_image_observers.csv").open()))
    assert len(further) == 2 * 2 * 3
    assert {row["observer"] for row in further} == {"2nd"}


def test_flips_average_mirror_images_and_choose_their_own_threshold(
    room: Path, tmp_path: Path
) -> None:
    model = Model.load(room / "a")
    image = RNG.integers(0, 255, (40, 48, 3), dtype=np.uint8)
    by_hand = np.mean(
        [
            model.predict(np.ascontiguousarray(image[::v, ::h]))[::v, ::h]
            for v in (1, -1)
            for h in (1, -1)
        ],
        axis=0,
    )
    np.testing.assert_allclose(model.predict(image, flips=True), by_hand, atol=1e-5)
    inputs = {name: artifact(room / "set") for name in ("test", "validation")}
    evaluate(
        EvaluateSettings(flips=True), inputs | {"a": artifact(room / "a")}, tmp_path, Progress()
    )
    threshold = json.loads((tmp_path / "metrics.json").read_text())["models"]["a"]["threshold"]
    validation = [load_image(room / "set", r) for r in read_index(room / "set", "validation")]
    chosen, _ = best_threshold(
        [model.predict(i.image, flips=True) for i in validation],
        [i.target > 127 for i in validation],
        [i.fov for i in validation],
    )
    assert threshold == chosen

    foreign = tmp_path / "foreign"  # images of another set, without validation images
    foreign.mkdir()
    del inputs["validation"]
    evaluate(
        EvaluateSettings(flips=True), inputs | {"a": artifact(room / "a")}, foreign, Progress()
    )
    scores = json.loads((foreign / "metrics.json").read_text())["models"]["a"]
    assert scores["threshold"] == model.threshold
    mirrored = json.loads((tmp_path / "metrics.json").read_text())["models"]["a"]
    assert scores["fov"]["pooled"]["auc"] == mirrored["fov"]["pooled"]["auc"]


def test_evaluation_at_another_magnification_and_by_the_fast_runtime(
    room: Path, tmp_path: Path
) -> None:
    inputs = {"test": artifact(room / "set"), "a": artifact(room / "a")}
    found = {}
    for name, settings in (
        ("plain", EvaluateSettings()),
        ("fast", EvaluateSettings(runtime="fast")),
        ("twice", EvaluateSettings(fov_width=110)),
    ):
        (out := tmp_path / name).mkdir()
        evaluate(settings, inputs, out, Progress())
        found[name] = json.loads((out / "metrics.json").read_text())["models"]["a"]
    plain, fast, twice = (found[name]["fov"]["pooled"] for name in ("plain", "fast", "twice"))
    assert fast["auc"] == pytest.approx(plain["auc"], abs=1e-4)
    assert twice["auc"] != plain["auc"]
    first = read_index(room / "set", "test")[0]
    image = load_image(room / "set", first)
    model = Model.load(room / "a")
    scale = showing(model, image.image, image.fov, 110).scale
    by_hand = model.predict(image.image, scale=scale)
    with Image.open(tmp_path / "twice" / "prob" / "a" / f"{first.id}.png") as written:
        np.testing.assert_array_equal(np.asarray(written), as_png(by_hand))


def test_a_test_set_without_masks_is_said_plainly(room: Path, tmp_path: Path) -> None:
    bare = phantom_set(tmp_path / "bare", {"test": 2}, masks=False)
    out = tmp_path / "out"
    out.mkdir()
    evaluate(
        EvaluateSettings(), {"test": artifact(bare), "a": artifact(room / "a")}, out, Progress()
    )
    found = json.loads((out / "metrics.json").read_text())
    assert found["reference"] is None
    assert "no manual segmentation" in found["note"]
    assert len([name for name in hashes(out) if name.startswith("prob/a/")]) == 2


def test_the_bootstrap_interval_covers_the_mean_of_the_population() -> None:
    covered = 0
    for trial in range(200):
        values = np.random.default_rng(trial).normal(0.8, 0.02, 20).tolist()
        _, low, high = mean_interval(values, 500, trial)
        assert low is not None
        assert high is not None
        covered += low <= 0.8 <= high
    assert 0.87 <= covered / 200 <= 0.99
    assert mean_interval([float("nan")], 500, 0) == [None, None, None]
