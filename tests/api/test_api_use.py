"""The public API gives what the command line gives, and refuses in one line what is wrong."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from small_generators import write_generator
from torch.utils.data import DataLoader
from typer.testing import CliRunner

import vesselforge as vf
from vesselforge.cli.main import main
from vesselforge.generator.values import Channels
from vesselforge.segmenter.metrics.scores import METRICS, Prediction, Regions, score_set

pytestmark = pytest.mark.slow
EYE = vf.phantom(seed=1, size=96)


def typed(*words: str | Path) -> None:
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def model() -> vf.TrainedSegmenter:
    return vf.load_model("sa-unet-drive")


def test_a_map_is_that_of_the_command_line(model: vf.TrainedSegmenter, tmp_path: Path) -> None:
    file, out = tmp_path / "eye.png", tmp_path / "maps"
    Image.fromarray(EYE.image).save(file)
    typed("segmenter", "predict", "sa-unet-drive", file, "-o", out, "--bits", "16")
    found = model.segment(file)
    assert found.prob.dtype == np.float32 and found.shown.found == "border"
    written = {k: np.asarray(Image.open(out / f"eye_{k}.png")) for k in ("probability", "mask")}
    assert np.array_equal(written["probability"], np.rint(found.prob * np.float32(65535)))
    assert np.array_equal(written["mask"] > 0, found.mask)
    assert 0.02 < found.mask[found.fov].mean() < 0.5 and not found.mask.all()


def test_an_image_may_be_a_file_an_array_or_a_picture(
    model: vf.TrainedSegmenter, tmp_path: Path
) -> None:
    file, grey = tmp_path / "eye.png", EYE.image[..., 1]
    Image.fromarray(EYE.image).save(file)
    deep = EYE.image.astype(np.uint16) * 257

    def seen(image: Any) -> np.ndarray:
        return model.predict(image, fov_width="native")

    expected = seen(EYE.image)
    for same in (file, str(file), Image.fromarray(EYE.image), deep):
        assert np.array_equal(seen(same), expected)
    assert np.array_equal(seen(grey), seen(grey[..., None]))
    assert not np.array_equal(seen(grey), expected)
    flipped = model.predict(EYE.image[:, ::-1], fov_width="native", flips=True)
    averaged = model.predict(EYE.image, fov_width="native", flips=True)
    assert np.allclose(flipped[:, ::-1], averaged, atol=1e-5)


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (EYE.image / 255, "float64 [96, 96, 3]"),
        (EYE.mask, "bool [96, 96]"),
        (np.zeros((4, 8, 8, 3), np.uint8), "uint8 [4, 8, 8, 3]"),
        (np.zeros((8, 8, 4), np.uint8), "uint8 [8, 8, 4]"),
        (np.zeros((0, 8, 3), np.uint8), "uint8 [0, 8, 3]"),
        (Image.fromarray(EYE.image).convert("P"), "the mode P"),
        (Path("none.png"), "none.png: no such file; expected an image file"),
        (Path("/"), "/: is a folder"),
        ([[1, 2], [3]], "found list, "),
        (None, "found NoneType, "),
    ],
)
def test_what_is_no_image_is_refused(model: vf.TrainedSegmenter, image: Any, found: str) -> None:
    with pytest.raises(vf.DataError) as told:
        model.predict(image)
    assert found in str(told.value) and "expected" in str(told.value)


def test_settings_that_cannot_be_are_refused(model: vf.TrainedSegmenter) -> None:
    for wrong in ("wide", 8, 9000):
        with pytest.raises(vf.ConfigError, match="fov_width: found"):
            model.predict(EYE.image, fov_width=wrong)  # type: ignore[arg-type]
    for threshold in (128, "x", None):
        with pytest.raises(vf.ConfigError, match=f"threshold: found {threshold!r}, expected 0 to"):
            model.threshold = threshold  # type: ignore[assignment]
    with pytest.raises(vf.ConfigError, match="device: found 'tpu'"):
        vf.load_model("sa-unet-drive", device="tpu")  # type: ignore[arg-type]
    with pytest.raises(vf.ConfigError, match="runtime: found 'tf'"):
        vf.load_model("sa-unet-drive", runtime="tf")  # type: ignore[arg-type]
    with pytest.raises(vf.ConfigError, match="tile: found 64 pixels, expected at least"):
        vf.load_model("sa-unet-drive", tile=64)
    for seed, size, randomise in ((-1, 64, 0), (0, 31, 0), (0, 64, 2)):
        with pytest.raises(vf.ConfigError, match="of a phantom: found"):
            vf.phantom(seed, size, randomise=randomise)


def test_arguments_of_another_type_are_refused_before_any_work(
    model: vf.TrainedSegmenter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("vesselforge.api.running.launch", lambda *given: pytest.fail("work began"))
    eye, map_ = EYE.image, np.zeros((4, 4))
    generator = vf.load_generator("phantom-joint-64")
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (vf.load_model, ("sa-unet-drive",)),
        (vf.load_generator, ("phantom-joint-64",)),
        (vf.load_dataset, ("phantom",)),
        (vf.phantom, (0, 64)),
        (vf.score, (map_, map_)),
        (vf.run, ("quickstart",)),
        (vf.compare, ("compare-quickstart",)),
        (model.predict, (eye,)),
        (model.segment, (eye,)),
        (generator.draw, (0,)),
        (generator.draw_to, (tmp_path / "drawn", 0)),
        (generator.dataset, (0,)),
    ]
    for function, good in calls:
        signature = inspect.signature(function)
        for name in signature.parameters:
            given = signature.bind(*good)
            given.arguments[name] = object
            with pytest.raises(
                vf.UserError, match=rf"{name}: .*found .*expected|{name}: .*\(found"
            ):
                function(*given.args, **given.kwargs)
    assert not (tmp_path / "drawn").exists()


def test_an_argument_of_another_type_is_named_with_what_is_expected(
    model: vf.TrainedSegmenter,
) -> None:
    wrong: Any = "x"
    for call, fault in (
        (
            lambda: vf.run("quickstart", server=cast(Any, 3)),
            "server: found 3, expected text or None",
        ),
        (
            lambda: vf.compare("compare-quickstart", quiet=wrong),
            "quiet: found 'x', expected True or",
        ),
        (lambda: model.predict(EYE.image, flips=wrong), "flips: found 'x', expected True or False"),
        (lambda: vf.load_model(cast(Any, 3)), "name_or_path: found 3, expected text or a path"),
        (lambda: vf.load_model("sa-unet-drive", tile=cast(Any, 1344.5)), "tile: found 1344.5, exp"),
        (
            lambda: vf.load_dataset("drive", cast(Any, 3)),
            "root: found 3, expected text or a path or",
        ),
    ):
        with pytest.raises(vf.ConfigError, match=re.escape(fault)):
            call()
    assert np.array_equal(vf.phantom(np.int64(3), 64).mask, vf.phantom(3, 64).mask)
    with pytest.raises(TypeError, match="unexpected keyword argument 'sever'"):
        vf.run("quickstart", sever="x")  # type: ignore[call-arg]


def test_names_and_settings_that_there_are_not_are_refused(tmp_path: Path) -> None:
    for overrides in (["x"], "x", {1: 2}):
        with pytest.raises(vf.ConfigError, match=r"overrides: found .*expected a dict of"):
            vf.run("quickstart", overrides=overrides, workspace=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(vf.DataError, match="split: found 'tset', expected train, validation, test"):
        vf.load_dataset("phantom").split("tset")
    with pytest.raises(vf.DataError, match="observer of 'train-0000': found '3rd', expected exact"):
        vf.load_dataset("phantom")[0].read_mask("3rd")


def test_scores_are_those_of_a_set() -> None:
    eyes = [EYE, vf.phantom(2, 64)]
    draw = np.random.default_rng(0)
    probs = [np.clip(0.3 * e.mask + draw.uniform(0, 0.7, e.mask.shape), 0, 1) for e in eyes]
    masks, fovs = [e.mask for e in eyes], [e.fov for e in eyes]
    made = [Prediction(p, f, 0.55) for p, f in zip(probs, fovs, strict=True)]
    expected = score_set(made, [Regions(m, f) for m, f in zip(masks, fovs, strict=True)])

    first = vf.score(probs[0], masks[0], fovs[0], threshold=0.55)
    assert first == pytest.approx(expected.per_image["fov"][0], nan_ok=True)
    both = vf.score(probs, masks, fovs, threshold=0.55)
    assert {k: None if np.isnan(v) else round(v, 6) for k, v in both.items()} == (
        expected.summary["fov"]["pooled"]
    )
    whole = vf.score(torch.tensor(probs[0]), 255 * masks[0].astype(np.uint8), threshold=0.55)
    assert whole == pytest.approx(expected.per_image["whole"][0], nan_ok=True)
    assert whole.keys() == {*METRICS} and whole["f1"] != first["f1"]
    found, true = probs[0] >= 0.55, masks[0]
    assert whole["f1"] == pytest.approx(2 * (found & true).sum() / (found.sum() + true.sum()))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"prob": np.full((4, 4), 200, np.uint8)}, "prob: found uint8 [4, 4] with 200 to 200"),
        ({"prob": np.full((4, 4), np.nan)}, "prob: found float64"),
        ({"prob": np.zeros((4, 4, 1))}, "found 4 maps"),
        ({"prob": []}, "found 0 maps"),
        ({"prob": np.zeros((4, 5))}, "must have the same shape"),
        ({"reference": np.arange(16).reshape(4, 4)}, "reference: found int64 [4, 4] with 0 to 15"),
        ({"fov": np.ones((5, 4))}, "must have the same shape"),
        ({"fov": [np.ones((4, 4))] * 2}, "2 fields of view"),
        ({"threshold": 128}, "threshold: found 128"),
        ({"threshold": "x"}, "threshold: found 'x'"),
        ({"prob": "a"}, "prob: found no numbers (<U1)"),
        ({"fov": "a"}, "fov: found no numbers (<U1)"),
    ],
)
def test_what_cannot_be_scored_is_refused(changes: dict[str, Any], fault: str) -> None:
    good = {"prob": np.zeros((4, 4)), "reference": np.zeros((4, 4), bool)}
    with pytest.raises(vf.DataError) as told:
        vf.score(**(good | changes))
    assert fault in str(told.value)


def test_what_is_drawn_is_that_of_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "typed"
    typed("generator", "draw", "phantom-joint-64", "-o", out, "--seeds", "3,5", "--psi", "0.9")
    generator = vf.load_generator("phantom-joint-64")
    images, masks = generator.draw([3, 5], psi=0.9)
    made = generator.draw_to(tmp_path / "drawn", "3,5", psi=0.9)
    for name in (path.relative_to(out) for path in out.rglob("*.*")):
        assert (made / name).read_bytes() == (out / name).read_bytes()
    assert masks is not None and 0 < masks.mean() < 0.5
    for at, seed in enumerate((3, 5)):
        assert np.array_equal(images[at], Image.open(out / f"seed{seed:08d}.png"))
        mask = np.asarray(Image.open(out / "masks" / f"seed{seed:08d}.png"))
        assert np.array_equal(masks[at], mask > 0)
    ((image, mask),) = DataLoader(generator.dataset((3, 5), psi=0.9), batch_size=2)
    assert (image.dtype, mask.dtype) == (torch.float32, torch.float32)
    assert np.array_equal((image * 255).round().byte().permute(0, 2, 3, 1).numpy(), images)
    assert np.array_equal(mask[:, 0].bool().numpy(), masks)


def test_a_grey_generator_of_whole_images_draws_no_masks(tmp_path: Path) -> None:
    folder = write_generator(tmp_path / "grey", Channels("grey", 1), native_size=(20, 30))
    generator = vf.load_generator(folder)
    images, masks = generator.draw(np.int64(7))
    assert np.array_equal(images, generator.draw("7").images)
    assert (images.shape, images.dtype, masks) == ((1, 20, 30, 1), np.uint8, None)
    assert not generator.draws_masks
    with pytest.raises(vf.ConfigError, match="draws grey, and pairs need masks"):
        generator.dataset(range(3))
    for seeds in (-1, [0, 2**32], [], "5-3", 1.5, [0.5], ["a"], None):
        with pytest.raises(vf.ConfigError, match="seeds: found"):
            generator.draw(seeds)  # type: ignore[arg-type]
    for wrong in ({"psi": 3}, {"label": 0}):
        with pytest.raises(vf.ConfigError, match=next(iter(wrong))):
            generator.draw(0, **wrong)  # type: ignore[arg-type]


def test_a_dataset_by_name_in_a_place_of_its_own_or_a_folder(tmp_path: Path) -> None:
    for part, pixels in (("images", EYE.image), ("masks", EYE.mask)):
        (tmp_path / part).mkdir()
        for name in "abcd":
            Image.fromarray(pixels).save(tmp_path / part / f"{name}.png")
    for dataset in (vf.load_dataset(tmp_path), vf.load_dataset("paired", tmp_path)):
        assert sorted(item.id for item in dataset) == ["a", "b", "c", "d"]
        item = dataset[0]
        assert np.array_equal(item.read_image(), EYE.image)
        assert np.array_equal(item.read_mask(next(iter(item.masks))), EYE.mask)
        assert item.read_fov().shape == (96, 96)
    with pytest.raises(vf.DataError, match="found a root"):
        vf.load_dataset(tmp_path, tmp_path)
    with pytest.raises(vf.DataError, match="neither a folder nor a known dataset"):
        vf.load_dataset("mars")


def test_a_config_may_be_a_name_a_file_a_dict_or_settings(tmp_path: Path) -> None:
    from vesselforge.configs.load import load, load_any

    data = {"root": Path("x"), "name": "paired"}
    changes = {"teacher.steps": 7, "source": "phantom", "data": data}
    settings = load_any(vf.PipelineConfig, "finetune", changes)
    file = tmp_path / "mine.yaml"
    file.write_text("teacher: {steps: 7}\n")
    given = {"teacher": {"steps": 5}}
    ways = [file, str(file), {"teacher": {"steps": 7}}, vf.PipelineConfig(teacher={"steps": 7})]  # type: ignore[arg-type]
    expected = load(vf.PipelineConfig, file)
    assert [load_any(vf.PipelineConfig, way) for way in ways] == [expected] * 4
    assert load_any(vf.PipelineConfig, given, {"teacher.steps": 7}) == expected
    assert given == {"teacher": {"steps": 5}}
    assert (settings.teacher.steps, settings.source.kind, settings.data.root) == (
        7, "phantom", Path("x"),
    )  # fmt: skip
    for config in (vf.StudyConfig(), 3, ["teacher"]):
        with pytest.raises(vf.ConfigError, match="config: found a"):
            vf.run(config, workspace=tmp_path)  # type: ignore[arg-type]
