"""Training batches: a function of (seed, step), centred inside the FOV, from images of any size."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from batch_parts import OFF, parts
from dataset_writers import phantom

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import AugmentSettings
from vesselforge.data.batches.sources import CropSource
from vesselforge.data.imageset import LoadedImage


def loaded(number: int, size: int = 96) -> LoadedImage:
    made = phantom(number, size)
    return LoadedImage(str(number), made.image, made.mask.astype(np.uint8) * 255, made.fov, {})


def plain(image: np.ndarray, fov: np.ndarray) -> LoadedImage:
    return LoadedImage("plain", image, np.zeros(fov.shape, np.uint8), fov, {})


def test_shapes_and_ranges() -> None:
    source = CropSource([loaded(0), loaded(1, 120)], 48, 5, 0, AugmentSettings())
    images, targets, fov = parts(source.batch_at(0))
    assert images.shape == (5, 3, 48, 48)
    assert targets.shape == fov.shape == (5, 1, 48, 48)
    assert images.dtype == targets.dtype == fov.dtype == torch.float32
    assert 0 <= images.min() <= images.max() <= 1
    assert set(targets.unique().tolist()) <= {0.0, 1.0}
    assert set(fov.unique().tolist()) <= {0.0, 1.0}


def test_depends_on_seed_and_step_alone() -> None:
    images = [loaded(n) for n in range(3)]
    first = CropSource(images, 48, 4, 7, AugmentSettings())
    for step in range(5):
        first.batch_at(step)
    resumed = CropSource(images, 48, 4, 7, AugmentSettings())
    torch.manual_seed(99)
    for a, b in zip(first.batch_at(5).tensors(), resumed.batch_at(5).tensors(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.batch_at(5).image, first.batch_at(6).image)
    other = CropSource(images, 48, 4, 8, AugmentSettings())
    assert not torch.equal(first.batch_at(5).image, other.batch_at(5).image)


def test_crops_are_cut_from_the_images() -> None:
    """Without augmentation every crop occurs in its image, with mask and FOV at the same place."""
    one = loaded(2)
    images, targets, fov = parts(CropSource([one], 16, 8, 0, OFF).batch_at(0))
    padded = np.pad(one.image, ((16, 16), (16, 16), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (16, 16), axis=(0, 1))
    for n in range(8):
        crop = np.rint(images[n].numpy() * 255).astype(np.uint8)
        places = np.argwhere((windows == crop).all(axis=(2, 3, 4)))
        assert len(places) >= 1
        y, x = places[0]
        mask = np.pad(one.target, 16)[y : y + 16, x : x + 16]
        assert np.array_equal(targets[n, 0].numpy() * 255, mask)
        assert np.array_equal(fov[n, 0].numpy() > 0, np.pad(one.fov, 16)[y : y + 16, x : x + 16])


@pytest.mark.parametrize("crop", [15, 16])
def test_centres_lie_inside_the_field_of_view(crop: int) -> None:
    source = CropSource([loaded(0), loaded(3)], crop, 16, 0, OFF)
    for step in range(6):
        _, _, fov = parts(source.batch_at(step))
        assert fov[:, 0, crop // 2, crop // 2].min() == 1


def test_rotated_crops_reach_no_empty_corner_where_there_are_pixels() -> None:
    ones = np.full((200, 200, 3), 200, np.uint8)
    fov = np.zeros((200, 200), bool)
    fov[90:110, 90:110] = True  # centres far from the border
    source = CropSource(
        [plain(ones, fov)], 48, 16, 0, AugmentSettings(brightness=0, contrast=0, gamma=0, noise=0)
    )
    images, _, _ = parts(source.batch_at(0))
    assert images.min() > 0.7


def test_images_smaller_than_the_crop_are_padded_with_zeros() -> None:
    field = np.ones((20, 30), bool)
    field[0, 0] = False
    small = plain(np.full((20, 30, 3), 255, np.uint8), field)
    images, targets, fov = parts(CropSource([small], 64, 8, 0, OFF).batch_at(0))
    assert images.shape == (8, 3, 64, 64)
    assert (images.sum(dim=(1, 2, 3)) == 20 * 30 * 3).all()  # whole and nothing else
    assert (fov.sum(dim=(1, 2, 3)) == 20 * 30 - 1).all()
    assert targets.sum() == 0


def test_small_pieces_of_retina_are_mirrored_at_their_border() -> None:
    rng = np.random.default_rng(0)
    piece = plain(rng.integers(1, 255, (20, 30, 3), np.uint8), np.ones((20, 30), bool))
    images, _, fov = parts(CropSource([piece], 64, 8, 0, OFF).batch_at(0))
    assert images.min() > 0
    assert fov.min() == 1


def test_every_image_and_place_is_used() -> None:
    flat = [
        plain(np.full((40, 40, 3), value, np.uint8), np.ones((40, 40), bool))
        for value in (50, 100, 200)
    ]
    source = CropSource(flat, 8, 16, 0, OFF)
    tones = torch.cat([source.batch_at(step).image.amax(dim=(1, 2, 3)) for step in range(10)])
    counts = torch.stack([(tones * 255).round() == value for value in (50, 100, 200)]).sum(dim=1)
    assert counts.sum() == 160
    assert counts.min() > 30


def test_soft_targets_survive() -> None:
    one = loaded(0)
    soft = LoadedImage("soft", one.image, one.target // 5 * 3, one.fov, {})
    targets = CropSource([soft], 32, 8, 0, OFF).batch_at(0).target
    assert targets.max() == pytest.approx(0.6, abs=1 / 255)


def test_what_cannot_be_trained_on_is_refused() -> None:
    one = loaded(0)
    with pytest.raises(DataError, match="no training image"):
        CropSource([], 32, 4, 0, OFF)
    with pytest.raises(DataError, match="'0' has no vessel mask"):
        CropSource([LoadedImage("0", one.image, None, one.fov, {})], 32, 4, 0, OFF)
    with pytest.raises(DataError, match="empty field of view"):
        CropSource([LoadedImage("0", one.image, one.target, one.fov & False, {})], 32, 4, 0, OFF)


def test_another_stream_draws_other_crops_from_the_same_seed() -> None:
    images = [loaded(n) for n in range(3)]
    first, other = (CropSource(images, 32, 4, 7, OFF, stream) for stream in (0, 1))
    for step in range(3):
        pairs = [(a, b) for a in first.batch_at(step).image for b in other.batch_at(step).image]
        assert not any(torch.equal(a, b) for a, b in pairs)
    again = CropSource(images, 32, 4, 7, OFF, stream=1)
    assert torch.equal(again.batch_at(2).image, other.batch_at(2).image)


def test_the_draws_are_what_they_were() -> None:
    """Batches of a seed and a step, by their hash: models trained earlier can be trained again."""
    # No phantom: those may look different one day.
    pixels = (np.arange(96 * 96 * 3) * 7919 % 251).astype(np.uint8).reshape(96, 96, 3)
    image = plain(pixels, np.hypot(*(np.mgrid[:96, :96] - 47.5)) < 45)
    source = CropSource([image], 32, 2, 5, OFF.model_copy(update={"flip": True}))
    found = hashlib.sha256()
    for part in source.batch_at(3).tensors():
        found.update((part * 255).round().byte().numpy().tobytes())
    assert found.hexdigest()[:16] == "8607eb139dd86711"
