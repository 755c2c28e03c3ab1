"""Ensembles: choices on validation images, a whole stage for each method, runtimes, export."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from ensemble_rules import METHODS, RULES, VOTES
from segmenter_helpers import (
    TINY,
    artifact,
    hashes,
    members_of,
    phantom_image,
    phantom_set,
    settled,
    trained,
)

from vesselforge.configs.errors import CheckpointError
from vesselforge.configs.settings import EnsembleSettings, EvaluateSettings
from vesselforge.data.imageset import LoadedImage, load_image, read_index
from vesselforge.engine.progress import Interrupted, Progress
from vesselforge.segmenter.combine import MEAN, Rule, combine
from vesselforge.segmenter.ensemble import ensemble
from vesselforge.segmenter.evaluate import evaluate
from vesselforge.segmenter.inference import onnx_segmenter as exporting
from vesselforge.segmenter.inference.fast import Fast
from vesselforge.segmenter.inference.onnx_segmenter import export
from vesselforge.segmenter.metrics.probabilities import best_threshold
from vesselforge.segmenter.model_files import Member, read_description, save_model
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.networks import build

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
RNG = np.random.default_rng(5)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of phantoms, three models of a few steps, and an ensemble of them by each method."""
    folder = tmp_path_factory.mktemp("room")
    phantom_set(folder / "set", {"train": 3, "validation": 2, "test": 2})
    for seed, name in enumerate("abc"):
        trained(folder / name, folder / "set", TINY.model_copy(update={"seed": seed}))
    for method in METHODS:
        (folder / method).mkdir()
        ensemble(EnsembleSettings(method=method), inputs_of(folder), folder / method, Progress())
    return folder


def inputs_of(room: Path, names: str = "abc") -> dict:
    return {n: artifact(room / n) for n in names} | {"validation": artifact(room / "set")}


def loaded(room: Path, split: str) -> list[LoadedImage]:
    return [load_image(room / "set", record) for record in read_index(room / "set", split)]


def f1_of(room: Path, predict, threshold: float) -> float:
    """Pooled F1 on the validation images, by counting."""
    tp = fp = fn = 0
    for image in loaded(room, "validation"):
        for said, true, inside in zip(
            (predict(image.image) >= threshold).ravel(),
            (image.target > 127).ravel(),
            image.fov.ravel(),
            strict=True,
        ):
            tp, fp, fn = (
                tp + (inside & said & true),
                fp + (inside & said & ~true),
                fn + (inside & ~said & true),
            )
    return 2 * tp / (2 * tp + fp + fn)


@pytest.mark.parametrize("method", METHODS)
def test_a_stage_chooses_on_validation_and_says_what(room: Path, method: str) -> None:
    found = json.loads((room / method / "metrics.json").read_text())
    model = Model.load(room / method, CPU)
    assert (found["method"], found["members"], list(found["each"])) == (method, 3, list("abc"))
    assert found["validation"]["threshold"] == model.threshold
    expected = f1_of(room, model.predict, model.threshold)
    assert found["validation"]["f1"] == pytest.approx(expected, abs=2e-6)
    alone = {name: Model.load(room / name, CPU) for name in "abc"}
    for name, single in alone.items():
        entry = found["each"][name]
        assert entry["threshold"] == single.threshold
        expected = f1_of(room, single.predict, single.threshold)
        assert entry["f1"] == pytest.approx(expected, abs=2e-6)
    if method in VOTES:
        assert model.threshold == 0.5
        image = phantom_image(7, 64)
        each = [m.predict(image) >= m.threshold for m in alone.values()]
        wanted = np.apply_along_axis(VOTES[method], 0, np.stack(each))
        np.testing.assert_array_equal(model.predict(image) >= 0.5, wanted)


def test_the_mean_is_what_it_was(room: Path, tmp_path: Path) -> None:
    """The bytes that were written before there were rules, and the choice made then."""
    members = []
    for name in "abc":
        ((member, tensors),) = members_of(room / name)
        file = f"members/{name}.safetensors"
        members.append((Member(member.network, member.options, file), tensors))
    save_model(tmp_path, members, 0.5)
    model, images = Model.load(tmp_path, CPU), loaded(room, "validation")
    probs = [model.predict(image.image) for image in images]
    truths, fovs = [i.target > 127 for i in images], [i.fov for i in images]
    known = read_description(room / "a").magnification
    threshold = best_threshold(probs, truths, fovs)[0]
    save_model(tmp_path, members, threshold, magnification=known)
    assert "rule" not in json.loads((tmp_path / "ensemble.json").read_text())
    written = hashes(room / "mean")
    assert {name: written[name] for name in hashes(tmp_path)} == hashes(tmp_path)


def test_the_same_stage_gives_the_same_bytes(room: Path, tmp_path: Path) -> None:
    ensemble(EnsembleSettings(method="majority"), inputs_of(room), tmp_path, Progress())
    assert hashes(tmp_path) == hashes(room / "majority")


def test_what_cannot_be_a_member_is_said(room: Path, tmp_path: Path) -> None:
    inputs = inputs_of(room, "ab") | {"both": artifact(room / "or")}
    with pytest.raises(CheckpointError, match=r"or: found an ensemble of 3 networks as .* 'both'"):
        ensemble(EnsembleSettings(), inputs, tmp_path, Progress())
    stopped = Progress()
    stopped.stop_requested = True
    with pytest.raises(Interrupted):
        ensemble(EnsembleSettings(), inputs_of(room), tmp_path, stopped)


def with_rule(folder: Path, rule: Rule, threshold: float = 0.45) -> Path:
    """Three small untrained networks under a rule."""
    torch.manual_seed(3)
    members = []
    for number, (name, width) in enumerate((("sa-unet", 4), ("unet-18", 4), ("unet-18-sa", 4))):
        network = settled(build(name, width=width))
        member = Member(name, {"width": width}, f"{number}.safetensors")
        members.append((member, network.state_dict()))
    save_model(folder, members, threshold, rule)
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_runtimes_tiles_and_flips_agree(tmp_path: Path, method: str) -> None:
    folder = with_rule(tmp_path, RULES[method])
    plain = Model.load(folder, CPU)
    image = np.tile(phantom_image(1, 128), (5, 1, 1))[:, :88]
    wanted, each = plain.predict(image), plain.members(image)
    assert each.shape == (3, 640, 88) and np.ptp(wanted) > 0.01
    np.testing.assert_allclose(combine(plain.rule, each), wanted, atol=1e-6)
    quick = Model.load(folder, CPU, runtime="fast")
    assert all(isinstance(network, Fast) for network in quick.networks)
    np.testing.assert_allclose(quick.predict(image), wanted, atol=1e-4)
    np.testing.assert_allclose(quick.members(image), each, atol=1e-4)
    cut = Model.load(folder, CPU, side=528)
    np.testing.assert_allclose(cut.predict(image), wanted, atol=1e-4)
    small = image[:40]
    mirrored = combine(plain.rule, plain.members(small, flips=True))
    np.testing.assert_allclose(plain.predict(small, flips=True), mirrored, atol=1e-6)
    by_hand = (plain.members(small) + plain.members(small[:, ::-1])[..., ::-1]) / 4
    by_hand += (plain.members(small[::-1]) + plain.members(small[::-1, ::-1])[..., ::-1])[
        :, ::-1
    ] / 4
    np.testing.assert_allclose(plain.members(small, flips=True), by_hand, atol=1e-5)
    larger = plain.members(small, scale=1.5)
    assert larger.shape == (3, 40, 88)
    if method in VOTES:
        at_size = plain.predict(small, scale=1.5)
        votes = larger >= np.array(plain.rule.thresholds, "f4")[:, None, None]
        np.testing.assert_array_equal(at_size >= 0.5, np.apply_along_axis(VOTES[method], 0, votes))


class Tiny(torch.nn.Module):
    """A network of one convolution: seconds less to export."""

    multiple, temperature, shift = 1, 1.0, 0.0

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = torch.nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 3 * self.body(x)


@pytest.mark.parametrize("method", ["majority", "and"])
def test_an_exported_rule_predicts_as_its_folder(tmp_path: Path, monkeypatch, method: str) -> None:
    (tmp_path / "m").mkdir()
    folder = with_rule(tmp_path / "m", RULES[method])
    networks = [Tiny(seed).eval() for seed in range(3)]
    ready = iter(networks)
    monkeypatch.setattr(exporting, "restore", lambda *_: next(ready))
    plain = Model(networks, 0.45, CPU, rule=RULES[method])
    image = phantom_image(2, 128)[:77, :90]
    assert export(folder, tmp_path / "m.onnx")["difference"] <= 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))  # as another program has it
    given = np.ascontiguousarray(image.transpose(2, 0, 1)[None], "f4") / 255
    (vessels,) = session.run(None, {"image": given})
    np.testing.assert_allclose(vessels[0, 0], plain.predict(image), atol=1e-4)


def test_evaluation_of_a_vote_with_flips_chooses_its_members_thresholds(
    room: Path, tmp_path: Path
) -> None:
    inputs = {name: artifact(room / "set") for name in ("test", "validation")}
    inputs |= {name: artifact(room / name) for name in ("a", "or", "mean")}
    evaluate(EvaluateSettings(flips=True, bootstrap=100), inputs, tmp_path, Progress())
    models = json.loads((tmp_path / "metrics.json").read_text())["models"]
    assert "rule" not in models["a"]
    validation = loaded(room, "validation")
    chosen = []
    for name in "abc":
        probs = [Model.load(room / name, CPU).predict(i.image, flips=True) for i in validation]
        truths, fovs = [i.target > 127 for i in validation], [i.fov for i in validation]
        chosen.append(best_threshold(probs, truths, fovs)[0])
    assert models["or"]["rule"] == {"method": "or", "thresholds": pytest.approx(chosen)}
    assert models["or"]["threshold"] == 0.5
    tp = fp = fn = 0
    for image in loaded(room, "test"):
        each = [Model.load(room / name, CPU).predict(image.image, flips=True) for name in "abc"]
        said = np.any([e >= t for e, t in zip(each, chosen, strict=True)], axis=0)[image.fov]
        true = image.target[image.fov] > 127
        tp, fp, fn = tp + (said & true).sum(), fp + (said & ~true).sum(), fn + (~said & true).sum()
    f1 = models["or"]["fov"]["pooled"]["f1"]
    assert f1 == pytest.approx(2 * tp / (2 * tp + fp + fn), abs=1e-6)
    rows = list(csv.DictReader((tmp_path / "per_image.csv").open()))
    assert {row["model"] for row in rows} == {"a", "or", "mean", "observer 2nd"}


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"method": "vote"}, "rule.method: .*found 'vote'"),
        ({"method": "or"}, "thresholds"),
        ({"method": "or", "thresholds": [0.5, 1.0, 0.5]}, "thresholds.1: .* less than 1"),
        ({"method": "or", "thresholds": [0.5, 0.5]}, "a rule of 2 members for 3"),
        ({"method": "or", "thresholds": [0.5, float("nan"), 0.5]}, "thresholds.1"),
        ({"method": "mean", "thresholds": [0.5, 0.5, 0.5]}, "a mean has none"),
        ("or", "rule: .*found 'or'"),
    ],
)
def test_a_damaged_rule_is_named(tmp_path: Path, rule: object, fault: str) -> None:
    folder = with_rule(tmp_path, MEAN)
    content = json.loads((folder / "ensemble.json").read_text())
    (folder / "ensemble.json").write_text(json.dumps(content | {"rule": rule}))
    with pytest.raises(CheckpointError, match=rf"ensemble\.json: .*{fault}"):
        read_description(folder)
