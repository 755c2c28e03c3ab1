"""Calibration and the rule of components wherever a model's mask is made: the same mask."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from metric_helpers import score
from PIL import Image
from segmenter_helpers import TINY, artifact, hashes, members_of, phantom_set, trained

from vesselforge.configs.errors import CheckpointError
from vesselforge.configs.settings import (
    CompareSettings,
    EnsembleSettings,
    EvaluateSettings,
    LabelSettings,
)
from vesselforge.data.imageset import LoadedImage, load_image, read_index
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.calibration import recalibrate
from vesselforge.segmenter.components import ALL, Components, choose_components, masked, pieces_in
from vesselforge.segmenter.ensemble import ensemble
from vesselforge.segmenter.evaluate import GREEN, RED, compare, evaluate
from vesselforge.segmenter.inference.predict import predict_files
from vesselforge.segmenter.labels.pseudo_labels import label
from vesselforge.segmenter.metrics.probabilities import best_threshold
from vesselforge.segmenter.model_files import calibration_of, read_description, save_model
from vesselforge.segmenter.models import Model

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def changed(folder: Path, out: Path, components: Components, **changes: Any) -> Path:
    """A copy of a model of one network with another calibration and rule."""
    ((member, tensors),) = members_of(folder)
    out.mkdir()
    pairs = [(replace(member, **changes), tensors)]
    save_model(out, pairs, read_description(folder).threshold, components=components)
    return out


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trained models, `a` and `b`, and `ruled-a`, `ruled-b`: with calibration and a rule that
    matters on the images of the set."""
    folder = tmp_path_factory.mktemp("room")
    phantom_set(folder / "set", {"train": 2, "validation": 2, "test": 3}, size=96)
    for seed, name in enumerate("ab"):
        settings = TINY.model_copy(update={"seed": seed, "steps": 30})
        trained(folder / name, folder / "set", settings)
        model = Model.load(folder / name)
        probs = [model.predict(image.image) for image in loaded(folder, "test")]
        peak = float(np.quantile(np.stack(probs), 0.995))
        logit = np.log(peak / (1 - peak)) / 2 + 0.2  # of the same pixels, once calibrated
        rule = Components(round(float(1 / (1 + np.exp(-logit))), 4), 12)
        made = changed(folder / name, folder / f"ruled-{name}", rule, temperature=2.0, shift=0.2)
        content = json.loads((made / "model.json").read_text())
        before = np.log(model.threshold / (1 - model.threshold))
        content["threshold"] = float(1 / (1 + np.exp(-(before / 2 + 0.2))))
        (made / "model.json").write_text(json.dumps(content))
    return folder


def loaded(room: Path, split: str) -> list[LoadedImage]:
    return [load_image(room / "set", record) for record in read_index(room / "set", split)]


def test_predict_and_evaluate_make_the_same_mask(room: Path, tmp_path: Path) -> None:
    folder, out = room / "ruled-a", tmp_path / "scores"
    out.mkdir()
    inputs = {"test": artifact(room / "set"), "ruled": artifact(folder), "a": artifact(room / "a")}
    evaluate(EvaluateSettings(bootstrap=100), inputs, out, Progress())
    found = json.loads((out / "metrics.json").read_text())["models"]
    model = Model.load(folder, CPU)
    fast = Model.load(folder, runtime="fast")
    removed, f1, pieces = 0, [], []
    for image in loaded(room, "test"):
        Image.fromarray(image.image).save(tmp_path / "eye.png")
        predict_files(model, [tmp_path / "eye.png"], tmp_path / "maps", Progress())
        mask = np.asarray(Image.open(tmp_path / "maps" / "eye_mask.png")) > 0
        overlay = np.asarray(Image.open(out / f"overlays/ruled/{image.id}.png"))
        drawn = (overlay == GREEN).all(2) | (overlay == RED).all(2)
        np.testing.assert_array_equal(mask, drawn)
        prob = model.predict(image.image)
        written = np.asarray(Image.open(tmp_path / "maps" / "eye_probability.png"))
        np.testing.assert_array_equal(written, np.rint(prob * 255))
        np.testing.assert_array_equal(mask, masked(prob, model.threshold, model.components))
        assert (fast.mask(fast.predict(image.image)) != mask).mean() < 0.002
        removed += int(((prob >= model.threshold) & ~mask).sum())
        scored = score(mask.astype(float), image.target > 127, image.fov)
        f1.append(scored["f1"])
        pieces.append(scored["components"])
    assert removed > 20
    mean = found["ruled"]["fov"]["mean"]
    assert mean["f1"][0] == pytest.approx(np.mean(f1), abs=1e-5)
    assert mean["components"][0] == pytest.approx(np.mean(pieces))
    assert mean["components"][0] < found["a"]["fov"]["mean"]["components"][0]
    pooled = found["ruled"]["fov"]["pooled"]
    assert pooled["auc"] == pytest.approx(found["a"]["fov"]["pooled"]["auc"], abs=1e-5)
    assert pooled["ece"] != found["a"]["fov"]["pooled"]["ece"]
    assert found["ruled"]["calibration"] == [{"temperature": 2.0, "shift": 0.2}]
    assert found["ruled"]["components"] == model.components.said()["components"]
    assert not found["a"].keys() & {"calibration", "components"}


def test_pixels_of_a_rule_are_those_of_the_image_as_the_network_sees_it(
    room: Path, tmp_path: Path
) -> None:
    model = Model.load(room / "ruled-a", CPU)
    model.components = Components(0.0, 40)
    image = loaded(room, "test")[0].image
    Image.fromarray(image).resize((192, 192)).save(tmp_path / "large.png")
    given = [tmp_path / "large.png"], tmp_path / "out", Progress()
    (row,) = predict_files(model, *given, fov_width=86, bits=16)
    assert row["scale"] < 0.6
    prob = np.asarray(Image.open(tmp_path / "out" / "large_probability.png")) / 65535
    mask = np.asarray(Image.open(tmp_path / "out" / "large_mask.png")) > 0
    at_size = masked(prob, model.threshold, Components(0.0, round(40 / row["scale"] ** 2)))
    assert (at_size != mask).mean() < 0.001
    assert pieces_in(mask) < pieces_in(masked(prob, model.threshold, Components(0.0, 40)))


def test_labels_and_the_champion_are_judged_by_the_rule(room: Path, tmp_path: Path) -> None:
    samples = phantom_set(tmp_path / "samples", {"train": 3}, size=96)
    model = Model.load(room / "ruled-a")
    out = tmp_path / "labels"
    out.mkdir()
    open_ = {"min_confidence": 0, "min_vessel_share": 0, "max_vessel_share": 1}
    inputs = {"samples": artifact(samples), "teacher": artifact(room / "ruled-a")}
    inputs["images"] = artifact(room / "set")
    label(LabelSettings(**open_), inputs, out, Progress())
    removed = 0
    for record in read_index(out):
        image = load_image(out, record, soft=False)
        prob = model.predict(image.image) * image.fov
        np.testing.assert_array_equal(image.target > 127, model.mask(prob))
        removed += int(((prob >= model.threshold) & ~model.mask(prob)).sum())
    assert removed > 0

    (tmp_path / "compared").mkdir()
    models = {"images": artifact(room / "set"), "champion": artifact(room / "ruled-a")}
    compare(CompareSettings(), models, tmp_path / "compared", Progress())
    found = json.loads((tmp_path / "compared" / "metrics.json").read_text())["per_image"]
    for image in loaded(room, "validation"):
        mask = model.mask(model.predict(image.image))
        expected = score(mask.astype(float), image.target > 127, image.fov)["f1"]
        assert found[image.id]["champion"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("method", ["mean", "or"])
def test_an_ensemble_of_calibrated_members_chooses_its_own_point(
    room: Path, tmp_path: Path, method: str
) -> None:
    names = ("ruled-a", "b")
    inputs = {name: artifact(room / name) for name in names}
    inputs["validation"] = artifact(room / "set")
    ensemble(EnsembleSettings(method=method), inputs, tmp_path, Progress())
    model, images = Model.load(tmp_path, CPU), loaded(room, "validation")
    each = [[Model.load(room / n, CPU).predict(i.image) for n in names] for i in images]
    for image, maps in zip(images, each, strict=True):
        np.testing.assert_allclose(model.members(image.image)[::-1], maps, atol=1e-6)
    probs = [model.predict(image.image) for image in images]
    masks, fovs = [i.target > 127 for i in images], [i.fov for i in images]
    if method == "mean":
        np.testing.assert_allclose(probs[0], np.mean(each[0], axis=0), atol=1e-6)
        assert model.threshold == best_threshold(probs, masks, fovs)[0]
    else:
        thresholds = [Model.load(room / n).threshold for n in names]
        assert model.rule.thresholds == tuple(thresholds[::-1])
    assert model.components == choose_components(probs, masks, fovs, model.threshold)


def test_an_ensemble_without_rules_has_none(room: Path, tmp_path: Path) -> None:
    inputs = {name: artifact(room / name) for name in "ab"} | {"validation": artifact(room / "set")}
    ensemble(EnsembleSettings(), inputs, tmp_path, Progress())
    content = json.loads((tmp_path / "ensemble.json").read_text())
    assert content.keys() == {"magnification", "members", "parameters", "threshold"}
    assert "components" not in json.loads((tmp_path / "metrics.json").read_text())


def test_flips_choose_the_threshold_and_leave_the_rule(room: Path, tmp_path: Path) -> None:
    inputs = {name: artifact(room / "set") for name in ("test", "validation")}
    inputs["m"] = artifact(room / "ruled-a")
    evaluate(EvaluateSettings(flips=True, bootstrap=100), inputs, tmp_path, Progress())
    found = json.loads((tmp_path / "metrics.json").read_text())["models"]["m"]
    model = Model.load(room / "ruled-a")
    assert found["components"] == model.components.said()["components"]
    assert found["threshold"] != model.threshold


def test_a_trained_model_is_calibrated_without_training(room: Path, tmp_path: Path) -> None:
    images = loaded(room, "train") + loaded(room, "validation")
    made = recalibrate(room / "a", images, tmp_path, Progress())
    assert hashes(tmp_path).keys() == {"model.json", "model.safetensors"}
    assert hashes(tmp_path)["model.safetensors"] == hashes(room / "a")["model.safetensors"]
    model = Model.load(tmp_path, CPU)
    masks, fovs = [i.target > 127 for i in images], [i.fov for i in images]
    probs = [model.predict(image.image) for image in images]
    threshold, f1 = best_threshold(probs, masks, fovs)
    assert model.threshold == pytest.approx(threshold, abs=0.003)  # the fast runtime chose it
    assert made["threshold"] == model.threshold
    assert made["calibration"] == [calibration_of(m) for m in read_description(tmp_path).members]
    assert made["after"]["ece"] < 0.5 * made["before"]["ece"]
    assert made["after"]["f1"] > f1 - 0.01
    reference = made["components_reference"]
    drawn = [pieces_in(mask & fov) for mask, fov in zip(masks, fovs, strict=True)]
    assert reference == pytest.approx(np.mean(drawn))
    before, after = (abs(made[when]["components"] - reference) for when in ("before", "after"))
    assert after <= before
    again = recalibrate(tmp_path, images, room / "again", Progress(), components=False)
    assert again["calibration"] == made["calibration"] and again["components"] is None
    assert Model.load(room / "again").components == ALL


def test_the_members_of_a_vote_are_calibrated(room: Path, tmp_path: Path) -> None:
    images = loaded(room, "validation")
    made, out = tmp_path / "or", tmp_path / "or-new"
    for folder in (made, out):
        folder.mkdir()
    inputs = {name: artifact(room / name) for name in "ab"}
    inputs["validation"] = artifact(room / "set")
    ensemble(EnsembleSettings(method="or"), inputs, made, Progress())
    recalibrate(made, images, out, Progress())
    before, after = read_description(made), read_description(out)
    assert (out / "ensemble.json").is_file() and after.rule.method == "or"
    assert all(calibration_of(member) for member in after.members)
    assert after.threshold == 0.5 and after.rule.thresholds != before.rule.thresholds
    with pytest.raises(CheckpointError, match="no model here"):
        recalibrate(tmp_path, images, tmp_path / "no", Progress())
