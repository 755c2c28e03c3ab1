"""What the strong augmentation adds: each change against its definition, and how zoom is drawn."""

from __future__ import annotations

import math

import pytest
import torch
from batch_parts import OFF, augment, recolour
from pydantic import ValidationError
from scipy import stats
from torch import Tensor

from vesselforge.configs.settings import AugmentSettings
from vesselforge.configs.stages.augmentation import StrongAugmentSettings
from vesselforge.data.batches.augment import blurred, margin, with_hue, with_vessel_contrast


def only(**changes: object) -> AugmentSettings:
    return OFF.model_copy(update=changes)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def per_image(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1)


# Zoom


def zooms(settings: AugmentSettings, n: int = 2000, size: int = 4) -> Tensor:
    """[n] what was drawn, read off soft labels: a ramp whose pixels are 1/side apart (bicubic
    interpolation bends one)."""
    side = margin(size, settings)
    ramp = (torch.arange(side) / side).expand(n, 1, side, side)
    ones = torch.ones(n, 1, side, side)
    _, targets, _ = augment(ones.repeat(1, 3, 1, 1), ramp, ones, settings, seeded(), size)
    return (targets[:, 0, 1, 2] - targets[:, 0, 1, 1]) * side


def test_a_wide_zoom_is_log_uniform_and_reaches_both_ends() -> None:
    found = zooms(only(warp_share=1.0, zoom=(0.5, 2.0))).log2()
    assert -1.001 < found.min() < -0.99
    assert 0.99 < found.max() < 1.001
    assert stats.kstest(found.numpy(), stats.uniform(-1, 2).cdf).pvalue > 0.01


def test_a_narrow_zoom_is_uniform() -> None:
    found = zooms(only(warp_share=1.0, zoom=(0.85, 1.15)))
    assert stats.kstest(found.numpy(), stats.uniform(0.85, 0.3).cdf).pvalue > 0.01


def test_only_the_share_is_zoomed() -> None:
    found = zooms(only(warp_share=0.3, zoom=(0.5, 2.0)))
    assert ((found - 1).abs() < 1e-4).float().mean() == pytest.approx(0.7, abs=0.04)


@pytest.mark.parametrize("size", [24, 25])
def test_what_is_shrunk_is_averaged_and_stays_in_place(size: int) -> None:
    """Every second column: single samples would give stripes. A disc: half its radius."""
    settings = only(warp_share=1.0, zoom=(2.0, 2.0))
    side = margin(size, settings)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    columns = (x % 2).float().expand(2, 3, side, side)
    middle = (side - 1) / 2
    away = (y - middle) ** 2 + (x - middle) ** 2
    disc = (away < 12**2).float().expand(2, 1, side, side)
    images, targets, fov = augment(columns, disc, disc, settings, seeded(), size)
    assert 0.4 < images.min() <= images.max() < 0.6
    middle, half = (size - 1) / 2, torch.arange(size)
    away = (half[:, None] - middle) ** 2 + (half - middle) ** 2
    assert targets.unique().tolist() == fov.unique().tolist() == [0, 1]
    for mask in (targets, fov):
        assert ((mask[0, 0] > 0) == (away < 6**2)).float().mean() > 0.98


def test_shrunk_masks_keep_their_share_of_the_area() -> None:
    settings = only(warp_share=1.0, zoom=(2.0, 2.0), rotate_deg=180.0)
    side = margin(64, settings)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    lines = (((x + y) % 16 < 2) | (x % 24 < 3)).float()
    whole = lines.expand(16, 1, side, side)
    _, targets, _ = augment(whole.repeat(1, 3, 1, 1), whole, whole, settings, seeded(), 64)
    assert targets.mean() == pytest.approx(lines.mean().item(), rel=0.05)


@pytest.mark.parametrize("zoom", [(2.0, 0.5), (0.1, 1.0), (1.0, 5.0), (float("nan"), 1.0), (1.0,)])
def test_an_impossible_zoom_is_refused(zoom: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="zoom"):
        AugmentSettings(zoom=zoom)


# Vessel contrast


def striped(ground: float = 0.6, vessel: float = 0.4) -> tuple[Tensor, Tensor, Tensor]:
    """Four images of stripes 3 px wide in a FOV that is the left three quarters."""
    mask = torch.zeros(4, 1, 64, 72)
    mask[..., ::16] = mask[..., 1::16] = mask[..., 2::16] = 1
    fov = torch.ones(4, 1, 64, 72)
    fov[..., 54:] = 0
    return (ground + (vessel - ground) * mask).repeat(1, 3, 1, 1) * fov, mask * fov, fov


def test_vessel_contrast_multiplies_the_distance_from_the_ground() -> None:
    images, mask, fov = striped()
    factor = per_image(0.6, 0.9, 1.2, 1.4)
    found = with_vessel_contrast(images, mask, fov, factor)
    expected = torch.where(mask > 0, 0.6 - 0.2 * factor, images)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_vessel_contrast_leaves_everything_else() -> None:
    torch.manual_seed(0)
    noisy, mask, fov = torch.rand(4, 3, 64, 72), *striped()[1:]
    found = recolour(noisy, mask, fov, only(vessel_contrast=0.4), seeded())
    assert torch.equal(found[(mask == 0).expand_as(noisy)], noisy[(mask == 0).expand_as(noisy)])
    assert (found != noisy)[(mask > 0).expand_as(noisy)].float().mean() > 0.95


def test_vessel_contrast_is_drawn_on_both_sides_of_one() -> None:
    images, mask, fov = (x[:1].repeat(64, 1, 1, 1) for x in striped())
    found = recolour(images, mask, fov, only(vessel_contrast=0.4), seeded())
    factors = (0.6 - found[:, 0, 5, 17]) / 0.2
    assert 0.6 <= factors.min() < 0.65
    assert 1.35 < factors.max() <= 1.4 + 1e-5


def test_soft_labels_get_their_part() -> None:
    images, mask, fov = striped()
    factor = per_image(0.6, 0.9, 1.2, 1.4)
    whole = with_vessel_contrast(images, mask, fov, factor) - images
    part = with_vessel_contrast(images, 0.25 * mask, fov, factor) - images
    assert (whole * part).min() >= 0
    # A quarter of the weight, towards a ground that three quarters of each vessel now darken.
    assert 0.15 < part.abs().sum() / whole.abs().sum() < 0.25


def test_the_ground_is_local_and_excludes_what_is_outside() -> None:
    """On a slope vessels get the contrast of their place, at the edge of the FOV as well."""
    _, mask, fov = striped()
    slope = torch.linspace(0.3, 0.8, 64)[:, None].expand(4, 3, 64, 72)
    images = (slope - 0.1 * mask) * fov
    found = with_vessel_contrast(images, mask, fov, per_image(1.5, 1.5, 1.5, 1.5))
    added = (images - found)[:, :, 8:-8][(mask[:, :, 8:-8] > 0).expand(4, 3, -1, -1)]
    assert added.mean() == pytest.approx(0.05, abs=0.002)
    assert (added - 0.05).abs().max() < 0.03


def test_a_vessel_without_surroundings_stays() -> None:
    images = torch.rand(1, 3, 32, 32)
    ones = torch.ones(1, 1, 32, 32)
    assert torch.equal(with_vessel_contrast(images, ones, ones, per_image(1.4)), images)


# Colours


def test_every_channel_has_a_gamma_of_its_own() -> None:
    torch.manual_seed(0)
    images = 0.05 + 0.9 * torch.rand(40, 3, 8, 8)
    ones = torch.ones(40, 1, 8, 8)
    found = recolour(images, ones * 0, ones, only(channel_gamma=0.3), seeded())
    exponents = found.log() / images.log()
    middle = exponents.mean((2, 3), keepdim=True)
    torch.testing.assert_close(exponents, middle.expand_as(exponents), atol=1e-3, rtol=0)
    assert 0.7 <= middle.min() < 0.72
    assert 1.28 < middle.max() <= 1.3 + 1e-4
    assert len(middle.unique()) == 120
    order = images.flatten(2).argsort(-1)
    assert (found.flatten(2).gather(-1, order).diff() >= 0).all()


def test_both_gammas_multiply() -> None:
    images, ones = torch.full((200, 3, 4, 4), 0.5), torch.ones(200, 1, 4, 4)
    settings = only(gamma=0.4, channel_gamma=0.3)
    found = recolour(images, ones * 0, ones, settings, seeded())
    exponents = found[:, :, 0, 0].log() / math.log(0.5)
    assert 0.42 <= exponents.min() < 0.5
    assert 1.7 < exponents.max() <= 1.82


def test_a_third_of_a_turn_takes_red_to_green_to_blue() -> None:
    torch.manual_seed(0)
    x = torch.rand(3, 3, 5, 7)
    turned = with_hue(x, per_image(120.0, 240.0, 0.0))
    wanted = torch.stack([x[0].roll(1, 0), x[1].roll(2, 0), x[2]])
    torch.testing.assert_close(turned, wanted, atol=1e-6, rtol=0)


def test_hue_keeps_greys_means_and_saturations() -> None:
    torch.manual_seed(0)
    x = torch.rand(4, 3, 6, 6)
    turned = with_hue(x, per_image(-20.0, 5.0, 30.0, 77.0))
    torch.testing.assert_close(turned.mean(1), x.mean(1))
    torch.testing.assert_close(turned.std(1), x.std(1))
    grey = x[:, :1].expand(4, 3, 6, 6)
    torch.testing.assert_close(with_hue(grey, per_image(-20.0, 5.0, 30.0, 77.0)), grey)


def test_blur_is_a_gaussian_of_that_width() -> None:
    x = torch.zeros(3, 2, 31, 31)
    x[..., 15, 15] = 1
    found = blurred(x, per_image(0.0, 0.7, 1.2), 1.2)
    assert torch.equal(found[0], x[0])
    offset = torch.arange(31) - 15.0
    for row, sd in ((1, 0.7), (2, 1.2)):
        for plane in found[row]:
            assert plane.sum() == pytest.approx(1, abs=1e-5)
            for axis in (0, 1):
                variance = (plane.sum(axis) * offset**2).sum().item()
                assert variance**0.5 == pytest.approx(sd, rel=0.02)
    flat = torch.full((2, 3, 9, 9), 0.3)
    torch.testing.assert_close(blurred(flat, per_image(0.5, 1.2), 1.2), flat)


def test_every_image_is_blurred_in_its_own_way() -> None:
    torch.manual_seed(0)
    images, ones = torch.rand(1, 3, 32, 32).repeat(50, 1, 1, 1), torch.ones(50, 1, 32, 32)
    found = recolour(images, ones * 0, ones, only(blur=1.2), seeded())
    spread = found.std((1, 2, 3)) / images.std((1, 2, 3))
    assert len(spread.unique()) > 40  # an sd below 0.15 px changes nothing
    assert spread.max() > 0.98
    assert spread.min() == pytest.approx(1 / (2 * 1.2 * math.pi**0.5), rel=0.15)  # of white noise


def test_what_is_off_draws_nothing() -> None:
    """Noise alone is the noise it would be without knowing of the other changes."""
    images, ones = torch.full((2, 3, 8, 8), 0.5), torch.ones(2, 1, 8, 8)
    found = recolour(images, ones * 0, ones, only(noise=0.05), seeded(3))
    generator = seeded(3)
    sd = 0.05 * torch.rand(2, 1, 1, 1, generator=generator)
    noise = torch.randn(2, 3, 8, 8, generator=generator)
    torch.testing.assert_close(found, 0.5 + sd * noise)


def test_strong_is_what_the_study_says() -> None:
    strong = StrongAugmentSettings().plain
    assert (strong.warp_share, strong.zoom, strong.noise) == (0.5, (0.5, 2.0), 0.05)
    assert (strong.gamma, strong.contrast, strong.saturation) == (0.4, 0.4, 0.5)
    assert (strong.vessel_contrast, strong.blur) == (0.4, 1.2)
    assert strong.hue > 0 and strong.channel_gamma > 0
    standard = AugmentSettings()
    assert {standard.hue, standard.blur, standard.channel_gamma, standard.vessel_contrast} == {0}
    assert not any(value for name, value in OFF.model_dump().items() if name != "zoom")
