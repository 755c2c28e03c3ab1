"""A model knows how large its training's images were, and is shown others at that size."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from segmenter_helpers import TINY, artifact, phantom_set, settled, trained

from vesselforge.configs.errors import CheckpointError, DataError
from vesselforge.configs.settings import CompareSettings, EvaluateSettings, LabelSettings
from vesselforge.data.fov import fov_width
from vesselforge.data.imageset import ImageRecord, load_image, read_index, write_index, write_png
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.data.structure import tree_figures
from vesselforge.engine.artifacts import Artifact
from vesselforge.engine.progress import Progress
from vesselforge.segmenter.ensemble import ensemble
from vesselforge.segmenter.evaluate import compare, evaluate
from vesselforge.segmenter.inference.predict import predict_files
from vesselforge.segmenter.inference.showing import UNKNOWN, resized, showing
from vesselforge.segmenter.inference.vessel_scale import chosen
from vesselforge.segmenter.labels.labeller import Labeller
from vesselforge.segmenter.magnification import Magnification, magnification_of, measured, shared
from vesselforge.segmenter.model_files import Member, read_description, save_model
from vesselforge.segmenter.models import Model
from vesselforge.segmenter.networks import build

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
KNOWN = Magnification(100.0, 96.0, 104.0, 2.5)
EYE = make_phantom(1, 128)
OWN = int(np.ptp(np.flatnonzero(EYE.fov.any(0)))) + 1


def model_of(known: Magnification | None) -> Model:
    torch.manual_seed(0)
    return Model([settled(build("sa-unet", width=4))], 0.5, CPU, magnification=known)


def saved(folder: Path, known: Magnification | None) -> Path:
    torch.manual_seed(0)
    options = {"width": 4}
    network = settled(build("sa-unet", **options))
    folder.mkdir(parents=True)
    member = Member("sa-unet", options, "model.safetensors")
    save_model(folder, [(member, network.state_dict())], 0.5, magnification=known)
    return folder


class Heard(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.slow
def test_a_training_writes_down_how_large_its_images_were(tmp_path: Path) -> None:
    images = phantom_set(tmp_path / "set", {"train": 3, "validation": 1})
    told = read_description(trained(tmp_path / "m", images)).magnification
    loaded = [load_image(images, record) for record in read_index(images, "train")]
    widths = [fov_width(image.fov) for image in loaded]
    assert told is not None
    assert told.fov_width == np.median(widths)
    assert told.narrowest == pytest.approx(np.quantile(widths, 0.1), abs=0.01)
    calibres = [tree_figures(image.reference).calibre for image in loaded]
    assert told.vessel_width == pytest.approx(np.median(calibres), abs=0.01)
    assert Model.load(tmp_path / "m", CPU).magnification == told
    # Of real images, whatever the synthetic ones it was trained on look like.
    made = phantom_set(tmp_path / "made", {"train": 2}, size=96)
    (out := tmp_path / "student").mkdir()
    from vesselforge.segmenter.training.fit import train

    train(TINY, {"images": artifact(made), "validation": artifact(images)}, out, Progress())
    assert read_description(out).magnification == told


def test_scales_of_the_training_count() -> None:
    fovs, masks = [EYE.fov] * 2, [EYE.mask] * 2
    once = measured(2, fovs, masks)
    assert once is not None and once.narrowest == once.fov_width == once.widest == OWN
    several = measured(2, fovs, masks, (0.5, 0.75, 1.0))
    assert several is not None
    assert several.fov_width == pytest.approx(0.75 * OWN)
    assert (several.narrowest, several.widest) == (0.5 * OWN, OWN)
    assert several.vessel_width == pytest.approx(0.75 * once.vessel_width, abs=0.01)


def test_images_without_a_border_or_without_vessels_tell_nothing() -> None:
    everything = np.ones_like(EYE.fov)
    assert measured(3, [EYE.fov, everything, everything], [EYE.mask]) is None
    assert measured(2, [EYE.fov, everything], [EYE.mask]) is not None
    assert measured(1, [EYE.fov], [np.zeros_like(EYE.mask)]) is None
    assert measured(0, [], []) is None


def test_what_a_model_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    image, fov = EYE.image, EYE.fov
    for factor, expected in ((1.0, 1.0), (1.09, 1.0), (0.92, 1.0), (1.3, 1 / 1.3), (0.7, 1 / 0.7)):
        width = OWN / factor
        shown = showing(model_of(Magnification(width, width, width, 2.5)), image, fov)
        assert shown.scale == pytest.approx(expected)
        assert (shown.found, shown.sure) == ("border", 1.0)
        assert shown.fov_width == pytest.approx(OWN * expected)
    wide = Magnification(50.0, 20.0, 400.0, 2.5)  # cameras of all kinds: nothing is resampled
    assert showing(model_of(wide), image, fov).scale == 1
    native = showing(model_of(KNOWN), image, fov, "native")
    assert (native.scale, native.found, native.sure) == (1, "native", None)
    assert showing(model_of(None), image, fov).found == "native"
    given = showing(model_of(KNOWN), image, np.ones_like(fov), 64)
    assert (given.scale, given.found) == (0.5, "given")
    with pytest.raises(DataError, match="expected at least 1000 to enlarge it to 8000"):
        showing(model_of(KNOWN), image, fov, 8000)
    far = showing(model_of(replace(KNOWN, fov_width=9000.0, narrowest=9000.0)), image, fov)
    assert far.scale == 8  # and no more, for there is nothing to see
    module = "vesselforge.segmenter.inference.showing.vessel_scale"
    monkeypatch.setattr(module, lambda model, image: (0.4, 0.7))
    bare = showing(model_of(KNOWN), image, np.ones_like(fov))
    assert (bare.scale, bare.found, bare.fov_width, bare.sure) == (0.4, "vessels", None, 0.7)


SIZES = np.arange(2, -3, -0.5)
"""log2 of scales; what a good network sees of a picture that is right at `true`:"""


def seen(true: float) -> tuple[Any, Any]:
    shares = 0.08 * np.exp(-(((SIZES - true - 0.15) / 1.5) ** 2))
    return shares, 2.5 * 2 ** (0.8 * (SIZES - true))


@pytest.mark.parametrize("true", [1.0, 0.8, -0.7, -1.3, -2.0])
def test_the_size_is_where_widths_and_certainty_agree(true: float) -> None:
    scale, sure = chosen(SIZES, *seen(true), 2.5)
    assert np.log2(scale) == pytest.approx(true, abs=0.2)
    assert sure > 0.8


def test_an_estimate_near_the_own_size_changes_nothing_and_contradiction_is_unsure() -> None:
    assert chosen(SIZES, *seen(0.2), 2.5)[0] == 1
    shares, widths = seen(0.0)
    assert chosen(SIZES, shares, widths * 1.6, 2.5)[1] < chosen(SIZES, shares, widths, 2.5)[1]
    assert chosen(SIZES, shares / 100, widths, 2.5) == (1, 0)


def test_a_prediction_says_at_which_size_and_how_it_knows(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(EYE.image).save(tmp_path / "in" / "eye.png")
    Image.fromarray(EYE.image[40:90, 40:90]).save(tmp_path / "in" / "piece.png")
    model, given = model_of(KNOWN), ([tmp_path / "in"], tmp_path / "out")
    heard = Heard()
    eye, piece = predict_files(model, *given, heard)
    assert eye["scale"] == pytest.approx(100 / OWN, rel=0.03)
    assert (eye["found_by"], eye["fov_width"], eye["sure"]) == ("border", 100, 1.0)
    assert piece["found_by"] == "vessels" and 0 <= piece["sure"] <= 1 and not heard.said
    assert {"scale", "fov_width", "found_by", "sure"} <= set(
        (tmp_path / "out" / "summary.csv").read_text().splitlines()[0].split(",")
    )
    eye, piece = predict_files(model, *given, heard, fov_width="native")
    assert [r["scale"] for r in (eye, piece)] == [1, 1] and not heard.said
    eye, _ = predict_files(model_of(None), *given, heard)
    assert (eye["scale"], eye["found_by"], heard.said) == (1, "native", [UNKNOWN])


def test_an_unsure_size_is_remarked_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vesselforge.segmenter.inference import showing as module

    Image.fromarray(EYE.image[40:90, 40:90]).save(tmp_path / "piece.png")
    model = model_of(KNOWN)
    model.threshold = 1e-6  # so that not the lack of vessels is remarked on
    for sure, told in ((0.3, True), (0.9, False)):
        monkeypatch.setattr(module, "vessel_scale", lambda model, image, s=sure: (2.0, s))
        (row,) = predict_files(model, [tmp_path / "piece.png"], tmp_path / "out", Progress())
        assert ("which is not sure" in row["remark"]) == told


def doubled(folder: Path, out: Path) -> Path:
    """A set of two images, each side twice as long."""
    records = []
    for record in read_index(folder):
        image = load_image(folder, record)
        large = resized(image, 2)
        assert large.fov.shape == (2 * image.fov.shape[0], 2 * image.fov.shape[1])
        write_png(out / record.image, large.image)
        for name, mask in ((record.fov, large.fov), (record.mask, large.reference)):
            write_png(out / str(name), mask.astype(np.uint8) * 255)
        records.append(replace(record, observers={}))
    write_index(out, "doubled", records)
    return out


def test_evaluation_comparison_and_labels_are_at_the_models_size(tmp_path: Path) -> None:
    images = phantom_set(tmp_path / "set", {"train": 1, "validation": 1, "test": 1})
    known = magnification_of(images)
    assert known is not None
    large = doubled(images, tmp_path / "large")
    model = saved(tmp_path / "model", known)
    for name, folder, scale in (("same", images, 1.0), ("twice", large, 0.5)):
        inputs = {"test": artifact(folder), "m": artifact(model)}
        for wanted, seen_at in (("model", scale), ("native", 1.0)):
            (out := tmp_path / f"{name}-{wanted}").mkdir()
            evaluate(EvaluateSettings(fov_width=wanted), inputs, out, Progress())
            shown = json.loads((out / "metrics.json").read_text())["models"]["m"]["shown"]
            assert shown["scale"] == pytest.approx(seen_at, rel=0.06)
            assert shown["found_by"] == {"native" if wanted == "native" else "border": 1}
    heard, inputs["unknown"] = Heard(), artifact(saved(tmp_path / "unknown", None))
    for wanted in ("model", "native"):
        evaluate(EvaluateSettings(fov_width=wanted), inputs, out, heard)
    assert heard.said == [f"unknown: {UNKNOWN}"]  # of the one that does not know, asked as it is
    loaded, (record,) = Model.load(model, CPU), read_index(large, "validation")
    image = load_image(large, record)
    scale = showing(loaded, image.image, image.fov).scale
    prob = loaded.predict(image.image, scale=scale)
    mask = loaded.mask(prob, scale)
    samples = Artifact(large, {"kind": "generator.sample"})
    labeller = Labeller(LabelSettings(), {"samples": samples, "teacher": artifact(model)})
    inside = loaded.mask(prob * image.fov, scale)
    np.testing.assert_array_equal(labeller.label(record, image).mask, inside)
    out = tmp_path / "compared"
    out.mkdir()
    inputs = {"images": artifact(large), "a": artifact(model), "b": artifact(model)}
    compare(CompareSettings(), inputs, out, Progress())
    inside = mask[image.fov], image.reference[image.fov]
    f1 = 2 * (inside[0] & inside[1]).sum() / (inside[0].sum() + inside[1].sum())
    assert json.loads((out / "metrics.json").read_text())["f1"]["a"] == pytest.approx(f1, abs=1e-5)


def test_synthetic_windows_are_seen_as_they_are_and_photographs_by_their_border(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_png(tmp_path / "set" / "a.png", EYE.image)
    record = ImageRecord("a", "train", "a.png")
    write_index(tmp_path / "set", "bare", [record])
    model = saved(tmp_path / "model", Magnification(40.0, 40.0, 40.0, 2.5))
    image = load_image(tmp_path / "set", record)
    assert image.fov.all()
    scales = []
    predict = Model.predict
    monkeypatch.setattr(
        Model, "predict", lambda self, *a, scale=1.0: scales.append(scale) or predict(self, *a)
    )
    for kind in ("generator.sample", "data.prepare"):
        samples = Artifact(tmp_path / "set", {"kind": kind})
        inputs = {"samples": samples, "teacher": artifact(model)}
        Labeller(LabelSettings(), inputs).label(record, image)
    assert scales[0] == 1 and scales[1] == pytest.approx(40 / OWN, rel=0.03)


def test_members_of_an_ensemble_share_one_magnification(tmp_path: Path) -> None:
    near, far = replace(KNOWN, fov_width=104.0), Magnification(300.0, 290.0, 310.0, 5.0)
    assert shared({"a": KNOWN, "b": near}) == KNOWN
    assert shared({"a": None, "b": near}) == near
    assert shared({"a": None}) is None
    images = phantom_set(tmp_path / "set", {"validation": 1})
    inputs = {"validation": artifact(images)}
    for name, known in (("a", KNOWN), ("b", near), ("c", far)):
        inputs[name] = artifact(saved(tmp_path / name, known))
    from vesselforge.configs.settings import EnsembleSettings

    (out := tmp_path / "out").mkdir()
    with pytest.raises(CheckpointError, match="a 100 px, b 104 px, c 300 px"):
        ensemble(EnsembleSettings(), inputs, out, Progress())
    del inputs["c"]
    ensemble(EnsembleSettings(), inputs, out, Progress())
    assert read_description(out).magnification == KNOWN


def test_an_exported_model_says_at_which_size_it_is_to_be_shown_images(tmp_path: Path) -> None:
    from vesselforge.segmenter.inference.onnx_segmenter import _facts

    folder = saved(tmp_path / "m", KNOWN)
    facts = _facts(folder, read_description(folder))
    assert json.loads(facts["magnification"]) == asdict(KNOWN)
    assert "field of view is 100 pixels wide" in facts["values"]
    folder = saved(tmp_path / "old", None)
    facts = _facts(folder, read_description(folder))
    assert "magnification" not in facts and "field of view" not in facts["values"]


def test_a_damaged_magnification_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", KNOWN)
    content = json.loads((folder / "model.json").read_text())
    for spoilt in ({"fov_width": -1}, {"fov_width": "wide"}, {"colour": 3}):
        changed = content | {"magnification": content["magnification"] | spoilt}
        (folder / "model.json").write_text(json.dumps(changed))
        with pytest.raises(CheckpointError, match=r"model\.json: .*magnification"):
            read_description(folder)
