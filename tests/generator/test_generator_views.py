"""Views of the training images: what they show and when."""

from __future__ import annotations

import numpy as np
import pytest
from generator_helpers import write_image_set

from vesselforge.configs.errors import DataError
from vesselforge.generator.values import restore
from vesselforge.generator.views import MIN_FOV_SHARE, Shown, Views, load_views


def numbered(side=40, count=5, fov=None):
    fov = np.ones((side, side), dtype=bool) if fov is None else fov
    pixels = [np.full((*fov.shape, 3), i, dtype=np.uint8) for i in range(count)]
    return [Shown(f"image{i}", p, fov) for i, p in enumerate(pixels)]


def disc(height, width, radius):
    y, x = np.mgrid[:height, :width]
    return (x - (width - 1) / 2) ** 2 + (y - (height - 1) / 2) ** 2 < radius**2


def test_patches_lie_inside_the_field_of_view():
    fov = disc(60, 80, 28)
    views = Views(numbered(fov=fov), "patch", 16)
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        y, x = views.place(0, rng)
        assert 0 <= y <= 60 - 16
        assert 0 <= x <= 80 - 16
        shares.append(fov[y : y + 16, x : x + 16].mean())
    assert min(shares) >= MIN_FOV_SHARE - 1 / 256
    assert min(shares) < 1  # the rim is seen too


def test_a_field_of_view_too_small_gives_the_best_patches():
    fov = disc(40, 40, 5)
    views = Views(numbered(fov=fov), "patch", 16)
    y, x = views.place(0, np.random.default_rng(1))
    assert fov[y : y + 16, x : x + 16].sum() == fov.sum()


def test_every_image_comes_once_an_epoch():
    views = Views(numbered(), "patch", 16)
    seen = np.concatenate([views.batch(3, 7, step)[:, 0, 0, 0] for step in range(10)])
    assert len(seen) == 30
    for epoch in range(6):
        assert sorted(seen[epoch * 5 : epoch * 5 + 5]) == list(range(5))
    assert list(seen[:5]) != list(seen[5:10]) or list(seen[:5]) != list(seen[10:15])


@pytest.mark.parametrize("presentation", ["full", "patch"])
def test_a_batch_depends_on_seed_and_step_alone(presentation, tmp_path):
    folder = write_image_set(tmp_path).path
    views = load_views(folder, presentation, 16)
    first = views.batch(4, 1, 9)
    views.batch(4, 1, 3)
    assert first.shape == (4, 3, 16, 16)
    assert first.dtype == np.uint8
    assert np.array_equal(first, load_views(folder, presentation, 16).batch(4, 1, 9))
    assert not np.array_equal(first, views.batch(4, 1, 10))
    assert not np.array_equal(first, views.batch(4, 2, 9))
    assert len(views) == 5  # the validation image is not among them


def test_whole_images_become_square_and_get_their_shape_back():
    views = Views(numbered(fov=disc(40, 60, 19)), "full", 16)
    assert views.batch(2, 0, 0).shape == (2, 3, 16, 16)
    assert views.native_size == (40, 60)
    assert restore(np.zeros((16, 16, 3), np.uint8), views.native_size).shape == (40, 60, 3)
    assert np.array_equal(views.fov, disc(40, 60, 19))


def test_images_too_small_are_named():
    with pytest.raises(DataError, match=r"patches of 64: image0 \(40 x 40\), image1 .*lower"):
        Views(numbered(), "patch", 64)


def test_a_set_without_training_images_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no image in the split 'train'"):
        load_views(write_image_set(tmp_path, count=0).path, "patch", 16)
