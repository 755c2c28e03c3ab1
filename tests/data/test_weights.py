"""Maps of weights: read with their image, moved with its crops, 1 where there is no image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from batch_parts import OFF, parts
from dataset_writers import phantom
from scipy.ndimage import gaussian_filter

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import AugmentSettings
from vesselforge.data.batches.augment import augment
from vesselforge.data.batches.batch import Batch
from vesselforge.data.batches.sources import FLIPS, ROTATIONS, VARIANTS, CropSource, PoolSource
from vesselforge.data.imageset import (
    ImageRecord,
    LoadedImage,
    load_image,
    read_index,
    write_index,
    write_png,
)

FLIPPED = OFF.model_copy(update={"flip": True})
WARPED = OFF.model_copy(update={"warp_share": 1.0, "rotate_deg": 180.0, "zoom": (0.8, 1.2)})


def weighted(number: int, size: int = 96) -> LoadedImage:
    """A phantom whose weights are its red channel."""
    made = phantom(number, size)
    weight = made.image[..., 0].copy()
    target = made.mask.astype(np.uint8) * 255
    return LoadedImage(str(number), made.image, target, made.fov, {}, weight=weight)


def without(image: LoadedImage) -> LoadedImage:
    return LoadedImage(image.id, image.image, image.target, image.fov, {})


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    write_png(tmp_path / "images/a.png", rng.integers(0, 256, (6, 9, 3), np.uint8))
    write_png(tmp_path / "weights/a.png", np.arange(54, dtype=np.uint8).reshape(6, 9) * 4)
    record = ImageRecord("a", "train", "images/a.png", weight="weights/a.png")
    plain = ImageRecord("b", "train", "images/a.png")
    write_index(tmp_path, "two", [record, plain])
    return tmp_path


def test_a_map_is_read_with_its_image(stored: Path) -> None:
    first, second = (load_image(stored, record) for record in read_index(stored))
    assert first.weight is not None
    assert np.array_equal(first.weight, np.arange(54).reshape(6, 9) * 4)
    assert second.weight is None
    assert load_image(stored, read_index(stored)[0], soft=False).weight is None


def test_an_index_without_maps_does_not_name_them(stored: Path) -> None:
    with_map, plain = json.loads((stored / "index.json").read_text())["items"]
    assert with_map["weight"] == "weights/a.png"
    assert "weight" not in plain and "label" not in plain


def test_a_map_of_another_size_is_named(stored: Path) -> None:
    write_png(stored / "weights/a.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(DataError, match=r"weights/a\.png: found 8×6 pixels, expected 9×6.*'a'"):
        load_image(stored, read_index(stored)[0])


@pytest.mark.parametrize("settings", [OFF, FLIPPED, WARPED, AugmentSettings()])
def test_weights_change_nothing_else(settings: AugmentSettings) -> None:
    images = [weighted(0), weighted(1, 120)]
    plain = CropSource([without(image) for image in images], 48, 6, 3, settings)
    with_maps = CropSource(images, 48, 6, 3, settings)
    for step in range(3):
        a, b = plain.batch_at(step), with_maps.batch_at(step)
        assert a.weight is None and b.weight.shape == (6, 1, 48, 48)
        assert all(map(torch.equal, parts(a), parts(b)))


@pytest.mark.parametrize("settings", [OFF, FLIPPED])
def test_weights_move_with_their_pixels(settings: AugmentSettings) -> None:
    source = CropSource([weighted(0), weighted(1, 120)], 32, 16, 0, settings)
    for step in range(4):
        batch = source.batch_at(step)
        images, weights = batch.image, batch.weight[:, 0]
        inside = images.sum(dim=1) > 0  # round the photograph there is nothing
        assert torch.equal(weights[inside], images[:, 0][inside])


def test_weights_turn_and_grow_with_their_pixels() -> None:
    sharp = weighted(0)
    smooth = gaussian_filter(sharp.image, (0.7, 0.7, 0))  # grain is what the two kernels differ in
    weight = smooth[..., 0].copy()
    image = replace(sharp, image=smooth, weight=weight)
    batch = CropSource([image], 48, 16, 0, WARPED).batch_at(0)
    inside = (-torch.nn.functional.max_pool2d(-batch.fov, 9, 1, 4))[:, 0] > 0
    assert inside.float().mean() > 0.3
    weights = batch.weight[:, 0]
    difference = (weights - batch.image[:, 0]).abs()[inside]  # bilinear against bicubic
    assert difference.mean() < 0.004
    assert 0 <= weights.min() <= weights.max() <= 1


def test_a_soft_target_does_not_soften_its_weights() -> None:
    torch.manual_seed(0)
    hard = (torch.rand(4, 1, 40, 40) < 0.5).float()
    soft = torch.rand(4, 1, 40, 40)
    draw = torch.Generator().manual_seed(1)
    batch = Batch(torch.rand(4, 3, 40, 40), soft, torch.ones_like(hard), hard)
    changed = augment(batch, WARPED, draw)
    assert set(changed.weight.unique().tolist()) == {0.0, 1.0}
    assert len(changed.target.unique()) > 100


def test_nobody_doubts_that_outside_there_is_nothing() -> None:
    field = np.ones((20, 30), bool)
    field[0, 0] = False
    image = np.full((20, 30, 3), 255, np.uint8)
    nothing = np.zeros((20, 30), np.uint8)
    small = LoadedImage("small", image, nothing, field, {}, weight=nothing)
    batch = CropSource([small], 64, 4, 0, OFF).batch_at(0)
    assert torch.equal(batch.weight[:, 0], 1 - batch.image[:, 0])
    weights = PoolSource([small], 13, 0, pad=40).batch_at(0).weight
    assert (weights == 0).any() and (weights[:, 0, :5] == 1).all()


def test_mirrored_pieces_mirror_their_weights() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 255, (20, 30, 3), np.uint8)
    weight = pixels[..., 0].copy()
    piece = LoadedImage("p", pixels, weight * 0, np.ones((20, 30), bool), {}, weight=weight)
    batch = CropSource([piece], 64, 8, 0, OFF).batch_at(0)
    assert torch.equal(batch.weight[:, 0], batch.image[:, 0])


def test_images_without_a_map_count_fully_beside_others() -> None:
    doubted = without(weighted(0))
    fifth = np.full(doubted.fov.shape, 51, np.uint8)
    doubted = LoadedImage("doubted", doubted.image, doubted.target, doubted.fov, {}, fifth)
    for source in (
        CropSource([doubted, without(weighted(1))], 16, 64, 0, OFF),
        PoolSource([doubted, without(weighted(1))], 26, 0),
    ):
        weights = source.batch_at(0).weight[:, 0]
        lowest = weights.amin(dim=(1, 2))
        assert lowest.min() == pytest.approx(0.2)
        assert ((lowest == 1).float().mean() - 0.5).abs() < 0.2


def test_the_pools_variants_carry_weights() -> None:
    one = weighted(2, 64)
    pool, plain = PoolSource([one], 13, 0), PoolSource([without(one)], 13, 0)
    for entry in range(VARIANTS):
        layers, expected = (
            np.concatenate([tensor.numpy() for tensor in source.variant(entry).tensors()])
            for source in (pool, plain)
        )
        assert np.array_equal(layers[:5], expected)
        if entry == 0 or entry in FLIPS:
            assert np.array_equal(layers[5], layers[0])
        if entry in ROTATIONS:
            corner, middle = layers[5, 0, 0], layers[5, 24:40, 24:40].astype(int)
            assert corner == 255  # from outside the image
            assert np.abs(middle - layers[0, 24:40, 24:40]).mean() < 4  # nearest against bicubic
