"""Augmentation: what it changes, what it must not, and that the generator decides everything."""

from __future__ import annotations

import pytest
import torch
from batch_parts import OFF, augment, rescaled
from dataset_writers import phantom
from torch import Tensor

from vesselforge.configs.settings import AugmentSettings
from vesselforge.configs.stages.augmentation import StrongAugmentSettings
from vesselforge.data.batches.augment import margin

GEOMETRY = OFF.model_copy(
    update={"warp_share": 1.0, "flip": True, "rotate_deg": 180.0, "zoom": (0.8, 1.2)}
)
COLOUR = AugmentSettings(flip=False, rotate_deg=0, zoom=(1, 1))
STRONG = StrongAugmentSettings().plain.model_copy(update={"warp_share": 1.0})

Batch = tuple[Tensor, Tensor, Tensor]


def only(**changes: float) -> AugmentSettings:
    return OFF.model_copy(update={"warp_share": 1.0, **changes})


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def batch() -> Batch:
    """Six phantoms: images, hard masks, FOVs."""
    made = [phantom(number, 96) for number in range(6)]
    images = (
        torch.stack([torch.from_numpy(m.image) for m in made]).permute(0, 3, 1, 2).float() / 255
    )
    masks = torch.stack([torch.from_numpy(m.mask) for m in made])[:, None].float()
    fov = torch.stack([torch.from_numpy(m.fov) for m in made])[:, None].float()
    return images.contiguous(), masks, fov


def geometry_of(settings: AugmentSettings) -> AugmentSettings:
    names = ("flip", "warp_share", "rotate_deg", "zoom")
    return OFF.model_copy(update={name: getattr(settings, name) for name in names})


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_identity_when_all_is_off(batch: Batch) -> None:
    assert same(augment(*batch, OFF, seeded()), batch)


def test_warped_crops_have_the_order_in_memory_of_others(batch: Batch) -> None:
    """Sums over labels in a loss round by that order, and so do the weights of a training."""
    strides = [
        [x.stride() for x in augment(*batch, OFF.model_copy(update=update), seeded())]
        for update in ({"flip": True}, {"flip": True, "warp_share": 0.5, "rotate_deg": 180.0})
    ]
    assert strides[0] == strides[1]


def test_the_standard_augmentation_is_what_it_was() -> None:
    """Numbers of the first version: models trained earlier can be trained again."""
    settings = AugmentSettings(warp_share=0.5)
    side = margin(48, settings)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    number = torch.arange(8).view(8, 1, 1)
    waves = [0.5 + 0.4 * torch.sin(0.11 * c * x + 0.07 * y + number) for c in (1, 2, 3)]
    masks = (torch.sin(0.3 * x - 0.2 * y + number) > 0.8).float()[:, None]
    disc = (x - side / 2) ** 2 + (y - side / 2) ** 2 < (0.3 * side) ** 2
    fov = disc.float().expand(8, 1, side, side)
    found = augment(torch.stack(waves, dim=1) * fov, masks, fov, settings, seeded(), 48)
    images, targets, field = found
    means = [0.348537, 0.485857, 0.490509, 0.46187, 0.29702, 0.377439, 0.54217, 0.497756]
    pixels = [0.850629, 0.900064, 1.0, 0.199576, 0.13762, 0.636661, 0.880988, 0.943634]
    assert images.mean((1, 2, 3)).tolist() == pytest.approx(means, abs=2e-6)
    assert images[:, 1, 20, 31].tolist() == pytest.approx(pixels, abs=1e-5)
    # A value at one half may be rounded either way on another processor.
    vessels, covered = [486, 480, 467, 454, 472, 463, 454, 482], [1595, 1943, 1943, 1765]
    assert targets.sum((1, 2, 3)).tolist() == pytest.approx(vessels, abs=1)
    assert field.sum((1, 2, 3)).tolist()[:4] == pytest.approx(covered, abs=1)


@pytest.mark.parametrize("settings", [AugmentSettings(), StrongAugmentSettings().plain])
def test_the_generator_decides(batch: Batch, settings: AugmentSettings) -> None:
    torch.manual_seed(1)
    first = augment(*batch, settings, seeded(3))
    torch.manual_seed(2)
    assert same(first, augment(*batch, settings, seeded(3)))
    assert not same(first, augment(*batch, settings, seeded(4)))


@pytest.mark.parametrize("settings", [AugmentSettings(), STRONG, only(rotate_deg=20.0)])
def test_inputs_are_left_alone(batch: Batch, settings: AugmentSettings) -> None:
    copies = tuple(x.clone() for x in batch)
    augment(*batch, settings, seeded())
    assert same(batch, copies)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [OFF, AugmentSettings(), STRONG])
def test_bytes_are_the_same_as_floats(batch: Batch, settings: AugmentSettings) -> None:
    raw = tuple((x * 255).round().byte() for x in batch)
    floats = tuple(x.float() / 255 for x in raw)
    size = 40
    a, b = (augment(*x, settings, seeded(), size) for x in (raw, floats))  # type: ignore[misc]
    assert a[0].dtype == torch.float32
    assert same(a, b)


def symmetries(x: Tensor) -> list[Tensor]:
    """The eight mirrored and quarter-turned copies of [..., H, W], H = W."""
    turned = [x.rot90(k, (-2, -1)) for k in range(4)]
    return turned + [y.flip(-1) for y in turned]


def test_flips_are_exact_and_alike_for_all_three(batch: Batch) -> None:
    seen = set()
    for seed in range(8):
        found = augment(*batch, only(flip=True), seeded(seed))
        for n in range(6):
            variants = zip(*(symmetries(x[n]) for x in batch), strict=True)
            one = tuple(x[n] for x in found)
            equal = [all(map(torch.equal, one, wanted)) for wanted in variants]
            assert any(equal), "an image is not a mirror image of what it was"
            seen.add(equal.index(True))
    assert len(seen) >= 4


def test_mask_moves_with_the_image(batch: Batch) -> None:
    _, masks, fov = batch
    drawn = masks.repeat(1, 3, 1, 1)
    images, targets, _ = augment(drawn, masks, fov, GEOMETRY, seeded())
    assert ((images[:, :1] > 0.5) == (targets > 0.5)).float().mean() > 0.985


def test_fov_moves_with_the_image(batch: Batch) -> None:
    _, masks, fov = batch
    images, _, moved = augment(fov.repeat(1, 3, 1, 1), masks, fov, GEOMETRY, seeded())
    assert ((images[:, :1] > 0.5) == (moved > 0.5)).float().mean() > 0.985


@pytest.mark.parametrize("settings", [AugmentSettings(), GEOMETRY, COLOUR, STRONG])
def test_hard_masks_stay_hard(batch: Batch, settings: AugmentSettings) -> None:
    for seed in range(4):
        images, targets, fov = augment(*batch, settings, seeded(seed))
        assert set(targets.unique().tolist()) <= {0.0, 1.0}
        assert set(fov.unique().tolist()) <= {0.0, 1.0}
        assert 0 <= images.min() <= images.max() <= 1


def test_hard_masks_keep_their_area(batch: Batch) -> None:
    _, targets, _ = augment(*batch, only(rotate_deg=180.0), seeded())
    assert targets.sum() == pytest.approx(batch[1].sum().item(), rel=0.06)


def test_soft_labels_stay_soft(batch: Batch) -> None:
    images, masks, fov = batch
    soft = torch.nn.functional.avg_pool2d(masks, 3, 1, 1)
    _, targets, _ = augment(images, soft, fov, GEOMETRY, seeded())
    assert len(targets.unique()) > 100
    assert 0 <= targets.min() <= targets.max() <= 1


def test_outside_the_input_all_is_zero() -> None:
    ones = torch.ones(16, 1, 40, 40)
    images, targets, fov = augment(
        ones.repeat(1, 3, 1, 1), ones, ones, only(rotate_deg=180.0), seeded(2)
    )
    empty = fov == 0
    assert empty.any()
    assert targets[empty].max() == 0
    assert images[(torch.nn.functional.max_pool2d(fov, 7, 1, 3) == 0).expand_as(images)].sum() == 0


@pytest.mark.parametrize(
    "settings",
    [GEOMETRY, AugmentSettings(), OFF, only(rotate_deg=20.0), STRONG, only(zoom=(0.5, 0.5))],
)
@pytest.mark.parametrize("size", [32, 33])
def test_a_margin_leaves_no_empty_corner(settings: AugmentSettings, size: int) -> None:
    side = margin(size, settings)
    ones = torch.ones(24, 1, side, side)
    images, targets, fov = augment(
        ones.repeat(1, 3, 1, 1), ones, ones, geometry_of(settings), seeded(), size=size
    )
    assert images.shape == (24, 3, size, size)
    assert fov.min() == targets.min() == 1
    assert images.min() > 0.999


def test_without_resampling_the_margin_is_cut_off_the_middle(batch: Batch) -> None:
    found = augment(*batch, OFF, seeded(), size=40)
    assert same(found, tuple(x[..., 28:68, 28:68] for x in batch))  # type: ignore[arg-type]


def test_rotation_keeps_shapes_in_oblong_images() -> None:
    y, x = torch.meshgrid(torch.arange(60), torch.arange(100), indexing="ij")
    disc = (((y - 29.5) ** 2 + (x - 49.5) ** 2) < 400).float().expand(6, 1, 60, 100)
    _, turned, _ = augment(
        disc.repeat(1, 3, 1, 1), disc, torch.ones_like(disc), only(rotate_deg=180.0), seeded()
    )
    assert (turned - disc).abs().mean() < 0.01


@pytest.mark.parametrize(
    "settings", [COLOUR, STRONG.model_copy(update={"flip": False, "warp_share": 0.0})]
)
def test_colour_changes_stay_inside_the_field_of_view(
    batch: Batch, settings: AugmentSettings
) -> None:
    images, targets, fov = augment(*batch, settings, seeded())
    outside = (batch[2] == 0).expand_as(images)
    assert torch.equal(images[outside], batch[0][outside])
    assert (images[~outside] - batch[0][~outside]).abs().mean() > 0.01
    assert torch.equal(targets, batch[1])
    assert torch.equal(fov, batch[2])


@pytest.mark.parametrize(
    ("name", "reach"),
    [
        *[(name, 0.2) for name in ("brightness", "contrast", "saturation", "gamma", "noise")],
        *[("vessel_contrast", 0.4), ("channel_gamma", 0.2), ("hue", 20.0)],
    ],
)
def test_every_colour_change_works_alone(batch: Batch, name: str, reach: float) -> None:
    changed, _, _ = augment(*batch, only(**{name: reach}), seeded())
    shifts = (changed - batch[0]).abs().mean(dim=(1, 2, 3))
    assert (shifts > 0).all()
    assert len(shifts.unique()) == 6  # each image in its own way


def test_saturation_keeps_brightness(batch: Batch) -> None:
    images = batch[0] * 0.5 + 0.2  # far from both ends
    changed, _, _ = augment(images, batch[1], batch[2], only(saturation=0.3), seeded())
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert ((changed - images) * weights).sum(dim=1).abs().max() < 1e-4


def test_another_size_keeps_masks_hard_and_things_where_they_are() -> None:
    target = torch.zeros(1, 1, 64, 128)
    target[..., 16:32, 24:72] = 1
    images = target.expand(1, 3, 64, 128) * 0.8
    for factor in (0.5, 1.5):
        small, mask, fov = rescaled(images, target, torch.ones_like(target), factor)
        assert small.shape == (1, 3, 64 * factor, 128 * factor)
        assert mask.unique().tolist() == [0, 1]
        assert fov.min() == 1
        places = mask[0, 0].nonzero()
        assert places.amin(0).tolist() == [16 * factor, 24 * factor]
        assert places.amax(0).tolist() == [32 * factor - 1, 72 * factor - 1]
        assert torch.equal((small[:, :1] > 0.4).float(), mask)


@pytest.mark.parametrize(
    ("side", "factor", "expected"),
    [(352, 0.75, 256), (352, 1.25, 448), (352, 1, 352), (33, 1, 33), (32, 0.25, 32)],
)
def test_sides_of_multi_scale_training(side: int, factor: float, expected: int) -> None:
    batch = torch.rand(2, 3, side, 40), torch.zeros(2, 1, side, 40), torch.ones(2, 1, side, 40)
    assert [x.shape[-2] for x in rescaled(*batch, factor)] == [expected] * 3
    assert (factor == 1) == all(
        a is b for a, b in zip(rescaled(*batch, factor), batch, strict=True)
    )
