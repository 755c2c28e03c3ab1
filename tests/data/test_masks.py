"""What values in a mask mean: two are a mask, soft edges are cut, anything else has to be said."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_writers import phantom, write_paired
from numpy.typing import NDArray
from PIL import Image

from vesselforge.configs.errors import ConfigError, DataError
from vesselforge.configs.load import override
from vesselforge.configs.settings import DataSettings
from vesselforge.data.datasets import load_settings, named_dataset
from vesselforge.data.formats.images import Picture
from vesselforge.data.formats.masks import drawing_of, probability_of, read_drawing
from vesselforge.data.imageset import load_image, read_index
from vesselforge.data.layouts.check import check
from vesselforge.data.prepare import write_set
from vesselforge.engine.progress import Progress

pytestmark = pytest.mark.usefixtures("few_are_enough")

TRUTH = phantom(0).mask
SIDE = np.arange(len(TRUTH))
LEFT = np.broadcast_to(SIDE < 32, TRUTH.shape)
AV = {"#000000": "background", "#ff0000": "vessel", "#0000ff": "vessel", "#00ff00": "vessel"}


def picture(pixels: NDArray[Any]) -> Picture:
    return Picture(pixels if pixels.ndim == 3 else pixels[..., None])


def artery_vein() -> NDArray[np.uint8]:
    """Arteries red, veins blue, some crossings green, and a white patch of unsure ones."""
    colours = np.zeros((*TRUTH.shape, 3), np.uint8)
    colours[TRUTH & LEFT] = (255, 0, 0)
    colours[TRUTH & ~LEFT] = (0, 0, 255)
    colours[30:34, 30:34] = (0, 255, 0)
    colours[5:9, 5:9] = 255
    return colours


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("values", [(0, 1), (0, 255), (1, 2), (7, 255), (0, 128), (254, 255)])
def test_two_values_are_a_mask_at_any_depth(dtype: Any, values: tuple[int, int]) -> None:
    for white in values[1:] if dtype == np.uint8 else (values[1], 65535):
        drawn = np.where(TRUTH, white, values[0]).astype(dtype)
        assert np.array_equal(drawing_of(picture(drawn), {}).vessel, TRUTH)
        three = picture(np.dstack([drawn] * 3))
        assert np.array_equal(drawing_of(three, {}).vessel, TRUTH)


@pytest.mark.parametrize("vessel", [(255, 0, 0), (0, 0, 255), (1, 0, 0), (255, 255, 0)])
def test_two_colours_are_a_mask(vessel: tuple[int, int, int]) -> None:
    drawn = np.zeros((*TRUTH.shape, 3), np.uint8)
    drawn[TRUTH] = vessel
    assert np.array_equal(drawing_of(picture(drawn), {}).vessel, TRUTH)


def soft(kind: str) -> NDArray[np.uint8]:
    """A mask with soft edges, as scaling and compression leave them."""
    mask = Image.fromarray(phantom(0, 192).mask).convert("L")
    if kind.startswith("jpeg"):
        memory = io.BytesIO()
        mask.save(memory, format="JPEG", quality=int(kind[4:]))
        return np.asarray(Image.open(memory))
    way = {"box": Image.Resampling.BOX, "bicubic": Image.Resampling.BICUBIC}[kind]
    return np.asarray(mask.resize((288, 288), way).resize((192, 192), way))


@pytest.mark.parametrize("kind", ["jpeg50", "jpeg75", "jpeg95", "box", "bicubic"])
def test_soft_edges_are_cut_at_the_middle_with_a_remark(kind: str) -> None:
    drawn = soft(kind)
    found = drawing_of(picture(drawn), {})
    assert np.array_equal(found.vessel, drawn > 127)
    assert "grey values in a mask" in found.remark and "cut at the middle" in found.remark
    deep = drawing_of(picture(drawn.astype(np.uint16) * np.uint16(257)), {})
    assert np.array_equal(deep.vessel, found.vessel)


def jpeg(drawn: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    memory = io.BytesIO()
    Image.fromarray(drawn).save(memory, format="JPEG", quality=quality)
    return np.asarray(Image.open(memory))


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_a_third_value_shows_through_compression(quality: int) -> None:
    drawn = phantom(0, 192).mask.astype(np.uint8) * 255
    drawn[30:50, 30:60] = 128
    with pytest.raises(DataError, match=r"areas of about 12\d look .*mask_values"):
        drawing_of(picture(jpeg(drawn, quality)), {})


def test_a_faint_mask_is_not_called_empty() -> None:
    with pytest.raises(DataError, match=r"none is above 12\d: .*127.*data\.mask_values"):
        drawing_of(picture(soft("bicubic") // 2), {})


def labels(*values: int) -> NDArray[np.uint8]:
    """Background, vessels and a patch."""
    drawn = np.where(TRUTH, values[1], values[0]).astype(np.uint8)
    for number, value in enumerate(values[2:]):
        drawn[4:10, 6 * number : 6 * number + 6] = value
    return drawn


@pytest.mark.parametrize(
    "values",
    [(0, 1, 255), (0, 1, 2), (0, 128, 255), (0, 255, 128), (0, 1, 2, 3, 4, 5), (128, 255, 0)],
)
@pytest.mark.parametrize("deep", [False, True])
def test_labels_are_an_error_that_names_them(values: tuple[int, ...], deep: bool) -> None:
    drawn = labels(*values).astype(np.uint16 if deep else np.uint8)
    with pytest.raises(DataError, match=f"found {len(values)} grey values") as caught:
        drawing_of(picture(drawn), {})
    for value in values:
        assert f" {value} ({(drawn == value).mean():.2%})" in str(caught.value)
    assert "data.mask_values" in str(caught.value)


def test_colours_are_an_error_that_names_them() -> None:
    with pytest.raises(DataError, match="found 5 colours") as caught:
        drawing_of(picture(artery_vein()), {})
    for colour in ("#000000", "#ff0000", "#0000ff", "#00ff00", "#ffffff", "data.mask_values"):
        assert colour in str(caught.value)
    many = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(DataError, match=r"and 4\d\d\d more"):
        drawing_of(picture(many), {})


def test_the_setting_says_what_they_mean() -> None:
    drawn = artery_vein()
    unsure = (drawn == 255).all(axis=2)
    found = drawing_of(picture(drawn), AV | {"255": "ignore"})  # white, as a grey value
    assert np.array_equal(found.vessel, drawn.any(axis=2) & ~unsure)
    assert found.ignored is not None and np.array_equal(found.ignored, unsure)
    with pytest.raises(DataError, match=r"found #ffffff in a mask, of which data\.mask_values"):
        drawing_of(picture(drawn), AV)
    grey = labels(0, 1, 255).astype(np.uint16)
    found = drawing_of(picture(grey), {"0": "background", "1": "vessel", "255": "ignore"})
    assert np.array_equal(found.vessel, grey == 1)
    deep = np.where(TRUTH, 40000, 300).astype(np.uint16)
    found = drawing_of(picture(deep), {"300": "vessel", "40000": "background"})  # against the rule
    assert np.array_equal(found.vessel, ~TRUTH) and found.ignored is None


def test_the_setting_is_read_from_yaml_and_checked() -> None:
    made = override(DataSettings(), ["mask_values={0: background, 1: vessel, '#00FF00': ignore}"])
    assert made.mask_values == {"0": "background", "1": "vessel", "#00ff00": "ignore"}
    for wrong in (
        "{0: background}",
        "{red: vessel}",
        "{'#12': vessel}",
        "{1: artery}",
        "{true: vessel}",
    ):
        with pytest.raises(ConfigError, match="mask_values"):
            override(DataSettings(), [f"mask_values={wrong}"])


def av_set(root: Path) -> Path:
    write_paired(root)
    for number, name in enumerate("abcdefgh"):
        mask = phantom(number).mask
        drawn = mask.astype(np.uint8)
        drawn[40:44, 10:30] = 255
        Image.fromarray(drawn).save(root / f"masks/{name}.png")
    return root


def test_check_and_prepare_read_them_alike(tmp_path: Path) -> None:
    root = av_set(tmp_path / "set")
    report = check(named_dataset(str(root)))
    assert len(report.errors) == 8
    assert "found 3 grey values in a mask" in str(report.errors[0])
    meanings = {"0": "background", "1": "vessel", "255": "ignore"}
    settings = DataSettings(name="paired", root=root, mask_values=meanings)
    dataset = load_settings(settings)
    assert check(dataset).problems == []
    write_set("av", list(dataset), tmp_path / "out", Progress())
    patch = np.zeros((64, 64), bool)
    patch[40:44, 10:30] = True
    for record in read_index(tmp_path / "out"):
        made = phantom("abcdefgh".index(record.id))
        for soft_labels in (True, False):
            loaded = load_image(tmp_path / "out", record, soft_labels)
            assert np.array_equal(loaded.reference, made.mask & ~patch)
            assert loaded.weight is not None and np.array_equal(loaded.weight, ~patch * 255)
            assert not loaded.fov[patch].any() and loaded.fov.any()
        item = next(item for item in dataset if item.id == record.id)
        assert np.array_equal(item.loaded().weight, loaded.weight)
        assert np.array_equal(item.loaded().fov, loaded.fov)


def test_a_fov_is_read_by_the_same_rules(tmp_path: Path) -> None:
    write_paired(tmp_path, fov=True)
    fov = phantom(2).fov.astype(np.uint16)
    Image.fromarray(fov).save(tmp_path / "fov/c.png")  # 0 and 1 of 16 bits
    assert check(named_dataset(str(tmp_path))).problems == []
    Image.fromarray((fov + np.triu(fov)).astype(np.uint8)).save(tmp_path / "fov/c.png")
    (problem,) = check(named_dataset(str(tmp_path))).errors
    assert problem.file.endswith("fov/c.png") and "found 3 grey values" in problem.sentence


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_maps_of_two_values_are_masks_and_others_probabilities(dtype: Any) -> None:
    top = np.iinfo(dtype).max
    for white in (1, 255, top):
        drawn = np.where(TRUTH, white, 0).astype(dtype)
        assert np.array_equal(probability_of(picture(drawn)), TRUTH.astype(np.float32))
    ramp = np.linspace(0, top, TRUTH.size).reshape(TRUTH.shape).astype(dtype)
    assert np.allclose(probability_of(picture(ramp)), ramp / top)
    assert not probability_of(picture(np.zeros((4, 4), dtype))).any()  # nothing was found


def test_maps_that_are_no_probabilities_are_refused(tmp_path: Path) -> None:
    faint = np.linspace(0, 4095, TRUTH.size).reshape(TRUTH.shape).astype(np.uint16)
    for wrong in (labels(0, 1, 2), labels(0, 1, 255), faint, labels(0, 4, 5, 3)):
        with pytest.raises(DataError, match="expected probabilities"):
            probability_of(picture(wrong))
    with pytest.raises(DataError, match="found a colour image"):
        probability_of(picture(artery_vein()))
    palette = Image.fromarray(TRUTH.astype(np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 128, 0, 0])
    palette.save(tmp_path / "p.png")
    assert np.array_equal(read_drawing(tmp_path / "p.png").vessel, TRUTH)
