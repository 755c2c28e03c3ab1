"""Looks are drawn within their limits, survive JSON, and are randomised without the masks."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from vesselforge.data.phantoms.appearance import GENERIC, Appearance, Look, randomised
from vesselforge.data.phantoms.draw import Phantom, draw


def made(look: Look, size: int = 96) -> Phantom:
    return draw(look, size, np.random.default_rng(1), np.random.default_rng(2))


def test_draws_lie_in_the_ranges_and_fill_them() -> None:
    drawn = [GENERIC.draw(np.random.default_rng(seed)) for seed in range(200)]
    for name, half in GENERIC.half_widths.items():
        values = np.stack([look.figure(name).ravel() for look in drawn])
        mean = GENERIC.looks[0].figure(name).ravel()
        off = np.abs(values - mean).max(axis=0)
        assert (off <= np.asarray(half) + 1e-12).all(), name
        assert (off >= 0.9 * np.asarray(half)).all(), name
    assert all(look.light == () for look in drawn)


def test_numbers_of_one_figure_vary_together() -> None:
    drawn = [GENERIC.draw(np.random.default_rng(seed)) for seed in range(50)]
    absorption = np.stack([look.figure("vessel") for look in drawn])
    assert np.corrcoef(absorption.T).min() > 0.999


def test_limits_hold_whatever_the_half_widths() -> None:
    wild = Appearance(looks=(Look(),), half_widths={"share": (5.0,), "blur": (1.0,), "cut": (3.0,)})
    for seed in range(30):
        look = wild.draw(np.random.default_rng(seed))
        assert Look.model_validate(look.model_dump()) == look  # raises beyond the limits


def test_every_look_has_its_turn() -> None:
    looks = tuple(Look(radius=0.3 + 0.1 * k) for k in range(3))
    mixed = Appearance(looks=looks, half_widths={})
    drawn = {mixed.draw(np.random.default_rng(seed)) for seed in range(40)}
    assert drawn == set(looks)


def test_json_keeps_every_bit() -> None:
    look = GENERIC.draw(np.random.default_rng(4)).with_figures({"light": np.eye(12, 3) / 3})
    appearance = Appearance(looks=(look,), half_widths=GENERIC.half_widths, side=565)
    assert Appearance.model_validate_json(appearance.model_dump_json()) == appearance


def test_unknown_and_impossible_figures_are_refused() -> None:
    with pytest.raises(ValidationError):
        Look.model_validate({"glow": 1})
    with pytest.raises(ValidationError):
        Look(share=0.9)


def test_no_randomisation_changes_nothing() -> None:
    look = GENERIC.draw(np.random.default_rng(5))
    assert randomised(look, 0.0, np.random.default_rng(6)) == look


def test_randomisation_changes_light_and_zoom_and_nothing_else_of_the_masks() -> None:
    look = GENERIC.draw(np.random.default_rng(5))
    before = made(look)
    for seed in range(4):
        other = randomised(look, 1.0, np.random.default_rng(seed))
        zoomed = made(other)
        assert not np.array_equal(zoomed.fov, before.fov)
        place = {name: look.figure(name) for name in ("radius", "centre_y", "centre_x")}
        after = made(other.with_figures(place))
        assert np.array_equal(after.mask, before.mask)
        assert np.array_equal(after.fov, before.fov)
        assert np.abs(after.image.astype(int) - before.image).mean() > 5


def test_zoom_is_half_to_double_and_keeps_the_image_full() -> None:
    look = Look(radius=0.475)
    zooms = []
    for seed in range(60):
        other = randomised(look, 1.0, np.random.default_rng(seed))
        zooms.append(other.radius / look.radius)
        if other.radius > 0.75:  # the corners of the image may lie outside, its middle not
            assert np.hypot(other.centre_y, other.centre_x) < other.radius
    assert 0.5 <= min(zooms) < 0.6
    assert 1.8 < max(zooms) <= 2.0


def test_stronger_is_further_away() -> None:
    look = GENERIC.draw(np.random.default_rng(5))
    off = [
        np.abs(randomised(look, s, np.random.default_rng(0)).figure("colour") - look.colour).sum()
        for s in (0.2, 0.5, 1.0)
    ]
    assert 0 < off[0] < off[1] < off[2]
