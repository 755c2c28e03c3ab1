"""The pool of thirteen variants: what each is, which epoch shows it when, where padding goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from batch_parts import parts
from dataset_writers import phantom
from PIL import Image

from vesselforge.configs.errors import ConfigError, DataError
from vesselforge.data.batches.sources import (
    COLOURS,
    FLIPS,
    NOISES,
    ROTATIONS,
    VARIANTS,
    PoolSource,
    noisy,
    recoloured,
)
from vesselforge.data.imageset import LoadedImage


def loaded(number: int, size: int = 64) -> LoadedImage:
    made = phantom(number, size)
    return LoadedImage(str(number), made.image, made.mask.astype(np.uint8) * 255, made.fov, {})


def blank(height: int, width: int, value: int = 255) -> LoadedImage:
    ones = np.ones((height, width), bool)
    image = np.full((height, width, 3), value, np.uint8)
    return LoadedImage(f"{height}x{width}", image, ones.astype(np.uint8) * 255, ones, {})


@pytest.fixture(scope="module")
def pool() -> PoolSource:
    return PoolSource([loaded(0), loaded(1)], 4, 0)


def entries(numbers: range, image: int = 1) -> list[int]:
    return [image * VARIANTS + number for number in numbers]


def layers(pool: PoolSource, entry: int) -> np.ndarray:
    """[5 or 6, H, W] an entry of the pool: colours, target, field of view, weight."""
    return np.concatenate([tensor.numpy() for tensor in pool.variant(entry).tensors()])


def stacked(image: LoadedImage) -> np.ndarray:
    """[5, H, W] what the pool holds of an image."""
    rest = [image.target, image.fov.astype(np.uint8) * 255]
    return np.stack([*image.image.transpose(2, 0, 1), *rest])


def test_thirteen_of_each_image_and_no_two_alike(pool: PoolSource) -> None:
    assert len(pool) == 26
    assert [len(kind) for kind in (ROTATIONS, NOISES, COLOURS, FLIPS)] == [3, 3, 3, 3]
    assert sorted([0, *ROTATIONS, *NOISES, *COLOURS, *FLIPS]) == list(range(VARIANTS))
    assert np.array_equal(layers(pool, 0), stacked(loaded(0)))
    assert np.array_equal(layers(pool, VARIANTS), stacked(loaded(1)))
    assert len({layers(pool, entry).tobytes() for entry in range(26)}) == 26


def test_rotations_keep_masks_hard_and_the_canvas(pool: PoolSource) -> None:
    original = stacked(loaded(1))
    for entry in entries(ROTATIONS):
        turned = layers(pool, entry)
        assert turned.shape == original.shape
        assert set(np.unique(turned[3:])) <= {0, 255}
        # The discs of the phantom's FOV fit the canvas: little is lost, and much has moved.
        assert (turned[4] > 0).mean() == pytest.approx((original[4] > 0).mean(), rel=0.05)
        assert (turned[3] != original[3]).mean() > 0.02


def test_image_mask_and_field_turn_together_and_corners_are_black() -> None:
    square = np.zeros((80, 100), bool)
    square[10:30, 60:90] = True
    field = np.ones_like(square)
    image = np.repeat(square[..., None], 3, axis=2).astype(np.uint8) * 200
    one = LoadedImage("square", image, square.astype(np.uint8) * 255, field, {})
    pool = PoolSource([one], 1, 5)
    for entry in entries(ROTATIONS, 0):
        turned = layers(pool, entry)
        assert ((turned[0] > 100) == (turned[3] > 0)).mean() > 0.99
        assert (turned[:4, turned[4] == 0] == 0).all()
        assert turned[4].min() == 0  # no angle but a half turn leaves a rectangle full


def test_noise_is_the_papers_change_of_one_grey_level() -> None:
    """N(0.2, 0.3), floored: P(n < 0) = 0.2525, P(n ≥ 1) = 0.0038."""
    rng = np.random.default_rng(0)
    before = rng.integers(1, 255, (300, 300, 3), np.uint8)
    change = noisy(before, rng).astype(int) - before
    assert (change == -1).mean() == pytest.approx(0.2525, abs=0.005)
    assert (change == 0).mean() == pytest.approx(0.7437, abs=0.005)
    assert (change == 1).mean() == pytest.approx(0.0038, abs=0.0005)
    assert np.abs(change).max() <= 2
    white = noisy(np.full((300, 300, 3), 255, np.uint8), rng)
    assert white.min() >= 253  # a wrap would be 0
    assert noisy(np.zeros((300, 300, 3), np.uint8), rng).max() == 1


def test_noise_and_colours_leave_mask_and_field_alone(pool: PoolSource) -> None:
    original = stacked(loaded(1))
    for entry in entries(NOISES) + entries(COLOURS):
        assert np.array_equal(layers(pool, entry)[3:], original[3:])
        assert not np.array_equal(layers(pool, entry)[:3], original[:3])


def test_colours_draw_the_papers_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, set[float]] = {}
    order: list[str] = []
    for name in ("Color", "Brightness", "Contrast", "Sharpness"):

        class Enhancer:
            def __init__(self, image: Image.Image, name: str = name) -> None:
                self.image, self.name = image, name

            def enhance(self, factor: float) -> Image.Image:
                drawn.setdefault(self.name, set()).add(factor)
                order.append(self.name)
                return self.image

        monkeypatch.setattr(f"vesselforge.data.batches.sources.ImageEnhance.{name}", Enhancer)
    rng = np.random.default_rng(0)
    for _ in range(600):
        recoloured(np.zeros((1, 1, 3), np.uint8), rng)
    wide, narrow = {n / 10 for n in range(31)}, {n / 10 for n in range(10, 21)}
    assert drawn == {"Color": wide, "Brightness": narrow, "Contrast": narrow, "Sharpness": wide}
    assert order[:4] == ["Color", "Brightness", "Contrast", "Sharpness"]


def test_flips_are_numpys(pool: PoolSource) -> None:
    original = stacked(loaded(1))
    expected = [np.flip(original, 2), np.flip(original, 1), np.flip(original, (1, 2))]
    for entry, flip in zip(entries(FLIPS), expected, strict=True):
        assert np.array_equal(layers(pool, entry), flip)


def test_an_epoch_is_a_permutation_of_the_pool() -> None:
    pool = PoolSource([loaded(0)], 4, 3)
    assert pool.steps_per_epoch == 4  # 4 + 4 + 4 + 1
    one, two = pool.order(0), pool.order(1)
    assert sorted(one) == sorted(two) == list(range(13))
    assert not np.array_equal(one, two)
    known = {torch.from_numpy(layers(pool, e).copy()).float().div(255): e for e in range(13)}
    for epoch, order in enumerate((one, two)):
        seen: list[int] = []
        for step in range(epoch * 4, epoch * 4 + 4):
            images, targets, fov = parts(pool.batch_at(step))
            assert len(images) == (1 if step % 4 == 3 else 4)
            for row in torch.cat([images, targets, fov], dim=1):
                seen += [entry for layers, entry in known.items() if torch.equal(layers, row)]
        assert seen == order.tolist()


def test_depends_on_seed_and_step_alone() -> None:
    images = [loaded(n) for n in range(2)]
    first = PoolSource(images, 5, 7)
    for step in range(8):
        first.batch_at(step)
    resumed = PoolSource(images, 5, 7)
    torch.manual_seed(99)
    for a, b in zip(first.batch_at(8).tensors(), resumed.batch_at(8).tensors(), strict=True):
        assert torch.equal(a, b)
    other = PoolSource(images, 5, 8)
    assert not np.array_equal(first.order(0), other.order(0))
    for number in (*ROTATIONS, *NOISES, *COLOURS):
        assert not np.array_equal(layers(first, number), layers(other, number))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [loaded(n) for n in range(2)]
    whole = PoolSource(images, 13, 0)
    whole.batch_at(0), whole.batch_at(1)
    assert len(whole._kept) == 2 * 9  # originals and flips are not stored twice
    monkeypatch.setattr("vesselforge.data.batches.sources.HELD_BYTES", 4 * 5 * 64 * 64)
    few = PoolSource(images, 13, 0)
    for step in (0, 1, 0):  # what is not kept is made again
        for a, b in zip(few.batch_at(step).tensors(), whole.batch_at(step).tensors(), strict=True):
            assert torch.equal(a, b)
    assert len(few._kept) == 4


@pytest.mark.parametrize(
    ("position", "rows", "columns"),
    [("centre", (4, 588), (13, 578)), ("corner", (0, 584), (0, 565))],
)
def test_padding_of_drive(position, rows, columns) -> None:
    pool = PoolSource([blank(584, 565)], 1, 0, pad=592, position=position)
    still = np.flatnonzero([entry in (0, *FLIPS) for entry in pool.order(0)])[0]
    images, targets, fov = parts(pool.batch_at(int(still)))
    assert images.shape == (1, 3, 592, 592)
    assert targets.shape == fov.shape == (1, 1, 592, 592)
    expected = torch.zeros(592, 592)
    expected[slice(*rows), slice(*columns)] = 1
    for layer in (*images[0], targets[0, 0], fov[0, 0]):
        assert torch.equal(layer, expected)


def test_padding_of_chase() -> None:
    """24 rows above and below, 4 columns on the left and 5 on the right."""
    pool = PoolSource([blank(960, 999)], 1, 0, pad=1008)
    still = np.flatnonzero(pool.order(0) == 0)[0]
    inside = pool.batch_at(int(still)).fov[0, 0].nonzero()
    assert inside.amin(0).tolist() == [24, 4]
    assert inside.amax(0).tolist() == [983, 1002]


def test_images_of_several_sizes_share_one_canvas() -> None:
    pool = PoolSource([blank(40, 30), blank(20, 61)], 26, 0, multiple=16)
    assert pool.size == (48, 64)
    assert pool.batch_at(0).image.shape == (26, 3, 48, 64)


def test_soft_targets_are_kept() -> None:
    rng = np.random.default_rng(0)
    one = loaded(0)
    soft = rng.integers(0, 256, one.fov.shape, np.uint8)
    pool = PoolSource([LoadedImage("soft", one.image, soft, one.fov, {})], 13, 0)
    where = int(np.flatnonzero(pool.order(0) == 0)[0])
    assert np.array_equal(np.rint(pool.batch_at(0).target[where, 0].numpy() * 255), soft)


def test_hard_targets_stay_hard(pool: PoolSource) -> None:
    images, targets, fov = parts(pool.batch_at(0))
    assert images.dtype == targets.dtype == fov.dtype == torch.float32
    assert 0 <= images.min() < images.max() <= 1
    assert set(targets.unique().tolist()) == set(fov.unique().tolist()) == {0.0, 1.0}


def test_what_cannot_be_trained_on_is_refused() -> None:
    one = loaded(0)
    with pytest.raises(DataError, match="no training image"):
        PoolSource([], 4, 0)
    with pytest.raises(DataError, match="'0' has no vessel mask"):
        PoolSource([LoadedImage("0", one.image, None, one.fov, {})], 4, 0)
    with pytest.raises(ConfigError, match="pad: found 60, but image '40x61' has a side of 61"):
        PoolSource([blank(50, 50), blank(40, 61)], 4, 0, pad=60)
