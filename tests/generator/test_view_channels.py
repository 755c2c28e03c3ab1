"""Views and samples: RGB, grey, a mask beside the image, 16 bits cut to 8, labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generator_helpers import write_image_set
from PIL import Image

from vesselforge.configs.errors import DataError
from vesselforge.data.formats.images import Picture
from vesselforge.data.imageset import (
    ImageRecord,
    read_index,
    write_index,
    write_png,
)
from vesselforge.data.layouts.splits import TRAIN
from vesselforge.generator.values import (
    Channels,
    resized,
    restore,
    to_network,
    to_uint8,
)
from vesselforge.generator.views import Views, load_views

RNG = np.random.default_rng(0)
CPU = torch.device("cpu")


def image_set(folder: Path, *kinds: tuple[int, int], masks: bool = False) -> list[np.ndarray]:
    """A set of one image a (channels, bits), 20 by 24 pixels; returns their pixels."""
    made, records = [], []
    for i, (count, bits) in enumerate(kinds):
        dtype = np.uint16 if bits == 16 else np.uint8
        pixels = RNG.integers(0, 2**bits, (20, 24, count), dtype=dtype)
        name = f"images/{i}.png"
        write_png(folder / name, pixels)
        mask = None
        if masks:
            mask = f"masks/{i}.png"
            write_png(folder / mask, ((pixels[..., 0] > 99) * 255).astype(np.uint8))
        records.append(ImageRecord(f"image{i}", TRAIN, name, mask=mask))
        made.append(pixels)
    write_index(folder, "test", records)
    return made


def whole(views: Views) -> tuple[np.ndarray, np.ndarray]:
    """The one image of a set, put together from patches of 4 pixels, and where they lay."""
    found = np.zeros((20, 24, views.channels.count), views.batch(1, 0, 0).dtype)
    seen = np.zeros((20, 24), bool)
    for step in range(250):
        y, x = views.place(0, np.random.default_rng([0, 1, step]))
        found[y : y + 4, x : x + 4] = views.batch(1, 0, step)[0].transpose(1, 2, 0)
        seen[y : y + 4, x : x + 4] = True
    assert seen.mean() > 0.9
    return np.where(seen[..., None], found, 0), seen


KINDS = [(1, 8), (3, 8), (1, 16), (3, 16)]


@pytest.mark.parametrize("kind", KINDS)
def test_rgb_and_grey_convert(tmp_path: Path, kind: tuple[int, int]) -> None:
    (pixels,) = image_set(tmp_path, kind)
    colour = Picture(pixels).rgb().astype(float)
    found, seen = whole(load_views(tmp_path, "patch", 4, "rgb"))
    assert np.array_equal(found[seen], np.broadcast_to(colour, (20, 24, 3))[seen])
    grey = load_views(tmp_path, "patch", 4, "grey")
    assert grey.channels == Channels("grey", 1)
    found, seen = whole(grey)
    luma = colour @ [0.299, 0.587, 0.114] if colour.shape[2] == 3 else colour[..., 0]
    assert np.abs(found[..., 0] - luma)[seen].max() <= 1
    full = load_views(tmp_path, "full", 8, "grey").batch(2, 0, 0)
    assert full.shape == (2, 1, 8, 8)
    assert full.dtype == np.uint8


def test_the_mask_is_a_fourth_channel(tmp_path: Path) -> None:
    (pixels,) = image_set(tmp_path, (3, 8), masks=True)
    views = load_views(tmp_path, "patch", 4, "rgb+mask")
    found, seen = whole(views)
    assert np.array_equal(found[seen][:, :3], pixels[seen])
    assert np.array_equal(found[seen][:, 3] > 127, pixels[seen][:, 0] > 99)
    shown = to_network(views.batch(3, 0, 0), CPU)[:, 3]
    assert shown.abs().min() > 0.08 and shown.abs().max() <= 0.7
    # Whole images: a distance may be resized, so that thin vessels do not vanish.
    small = load_views(tmp_path, "full", 4, "rgb+mask").batch(1, 0, 0)[0, 3]
    assert 0 < small.mean() < 255


def test_images_without_a_mask_are_named(tmp_path: Path) -> None:
    image_set(tmp_path, *[(3, 8)] * 7)
    with pytest.raises(DataError, match=r"no vessel mask.*image0, .*image4 and 2 more"):
        load_views(tmp_path, "patch", 4, "rgb+mask")


def test_labels_come_in_the_order_of_the_images(tmp_path: Path) -> None:
    folder = write_image_set(tmp_path).path
    records = read_index(folder)
    with pytest.raises(DataError, match=r"no label.*image0"):
        load_views(folder, "patch", 16, labels=True)
    for i, record in enumerate(records):
        records[i] = replace(record, label=[float(i), 1.0])
        write_png(folder / record.image, np.full((40, 40, 3), i, np.uint8))
    write_index(folder, "test", records, ["zero", "one"])
    views = load_views(folder, "patch", 16, labels=True)
    assert views.labels is not None
    assert views.labels.shape == (5, 2)
    assert (views.c_dim, views.classes) == (2, ["zero", "one"])
    for step in range(4):
        pixels, labels = views.batch(3, 7, step), views.batch_labels(3, 7, step)
        assert pixels[:, 0, 0, 0].tolist() == labels[:, 0].tolist()
    unconditional = load_views(folder, "patch", 16)
    assert (unconditional.labels, unconditional.c_dim) == (None, 0)
    assert unconditional.batch_labels(3, 7, 0) is None
    assert np.array_equal(unconditional.batch(3, 7, 2), views.batch(3, 7, 2))


def test_values() -> None:
    flat = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    values = to_network(flat, CPU)
    assert values.aminmax() == (-1, 1)
    assert torch.equal(values, torch.from_numpy(flat).float() / 127.5 - 1)
    assert np.array_equal(to_uint8(values).numpy(), flat)
    assert to_uint8(torch.tensor([-3.0, 3.0])).tolist() == [0, 255]


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_sizes_change_channel_by_channel_with_antialiasing(count: int) -> None:
    stripes = np.zeros((32, 48, count), np.uint8)
    stripes[:, ::2] = 255
    stripes[..., -1] = 85
    small = resized(stripes, (8, 12))
    assert small.dtype == np.uint8
    middle = small[2:-2, 2:-2].astype(float) / 255
    assert np.abs(middle[..., :-1] - 0.5).max(initial=0) < 0.02  # not 0 or 1, as without
    assert np.abs(middle[..., -1] - 1 / 3).max() < 0.01
    assert restore(small, (32, 48)).shape == stripes.shape
    assert restore(small, None) is small


def test_planes_are_resized_as_pictures_are() -> None:
    picture = Image.fromarray(RNG.integers(0, 256, (20, 24, 3), dtype=np.uint8))
    lanczos = np.asarray(picture.resize((9, 8), Image.Resampling.LANCZOS))
    planes = resized(np.dstack([np.asarray(picture)] * 2), (8, 9))
    assert np.array_equal(planes, np.dstack([lanczos] * 2))
