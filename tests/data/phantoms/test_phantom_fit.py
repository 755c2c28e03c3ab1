"""What is measured on phantoms is what they were drawn with; nothing crashes on odd images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from vesselforge.configs.errors import DataError
from vesselforge.data.imageset import LoadedImage
from vesselforge.data.phantoms.appearance import GENERIC, Appearance, Look
from vesselforge.data.phantoms.draw import Phantom, compose, draw, make_phantom
from vesselforge.data.phantoms.fitted import fit_appearance
from vesselforge.data.phantoms.photo import Blocks, photo_of, view_of
from vesselforge.data.phantoms.shape import shape_of

pytestmark = pytest.mark.slow

SIZE = 224
CAMERA = GENERIC.looks[0].with_figures(
    {
        "colour": (-0.6, -0.7, -0.9),  # greenish, brighter in blue than any retina
        "vessel": (0.6, 1.6, 1.2),
        "grain": ((0.05, 0.05, 0.05), (0.01, 0.01, 0.01)),
        "radius": 0.45,
        "cut": 0.8,
        "share": 0.08,
        "spots": 0,
        "haze": 0,
        "rim": 0,
    }
)
"""Unlike the generic looks in all that can be measured."""


def loaded(made: Phantom, **changed: object) -> LoadedImage:
    parts = {"image": made.image, "target": made.mask.astype(np.uint8) * 255, "fov": made.fov}
    return LoadedImage("eye", **(parts | changed), observers={})  # type: ignore[arg-type]


def of_camera(seed: int, size: int = SIZE) -> Phantom:
    return draw(CAMERA, size, np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1]))


@pytest.fixture(scope="module")
def originals() -> list[Phantom]:
    return [of_camera(seed) for seed in range(2)]


@pytest.fixture(scope="module")
def fitted(originals: list[Phantom]) -> Appearance:
    return fit_appearance([loaded(one) for one in originals])


@pytest.fixture(scope="module")
def copies(fitted: Appearance) -> list[Phantom]:
    assert fitted.side is not None
    return [make_phantom(seed, fitted.side, fitted) for seed in range(6)]


def contrast(made: Phantom) -> float:
    """Of vessels with what is near them, green, logarithmic."""
    green = np.log(made.image[..., 1] / 255 + 0.02)
    inside = ndimage.binary_erosion(made.fov, iterations=6)
    near = ndimage.binary_dilation(made.mask, iterations=4) & ~made.mask & inside
    return float(green[made.mask & inside].mean() - green[near].mean())


def grain(made: Phantom) -> float:
    """Of the ground from pixel to pixel, green."""
    green = np.log(made.image[..., 1] / 255 + 0.02)
    ground = ndimage.binary_erosion(made.fov & ~made.mask, iterations=4)
    return float((green - ndimage.gaussian_filter(green, 1.0))[ground].std())


def mean(values: list[float]) -> float:
    return float(np.mean(values))


def test_geometry(fitted: Appearance) -> None:
    assert fitted.side == SIZE
    assert len(fitted.looks) == 2
    for look in fitted.looks:
        assert look.radius == pytest.approx(0.45, abs=0.01)
        assert look.cut == pytest.approx(0.8, abs=0.02)
        assert look.disc_y == pytest.approx(CAMERA.disc_y, abs=0.06)
        assert look.disc_x == pytest.approx(CAMERA.disc_x, abs=0.06)


def test_copies_have_the_colours(originals: list[Phantom], copies: list[Phantom]) -> None:
    wanted, found = (
        np.mean([one.image[one.fov].mean(axis=0) for one in some]) for some in (originals, copies)
    )
    assert found == pytest.approx(wanted, rel=0.15)


def test_copies_have_the_contrast_and_the_grain(
    originals: list[Phantom], copies: list[Phantom]
) -> None:
    assert mean([contrast(one) for one in copies]) == pytest.approx(
        mean([contrast(one) for one in originals]), rel=0.3
    )
    assert mean([grain(one) for one in copies]) == pytest.approx(
        mean([grain(one) for one in originals]), rel=0.2
    )
    assert mean([grain(one) for one in copies]) > 1.3 * grain(make_phantom(0, SIZE))


def test_copies_have_the_vessels(originals: list[Phantom], copies: list[Phantom]) -> None:
    wanted, found = (
        [shape_of(one.mask, one.fov, SIZE * 0.45) for one in some] for some in (originals, copies)
    )
    for name, within in (("share", 0.15), ("calibre", 0.15), ("wide", 0.15), ("winding", 0.25)):
        values = [mean([getattr(one, name) for one in some]) for some in (wanted, found)]
        assert values[1] == pytest.approx(values[0], rel=within), name


def test_no_vessel_is_thinner_than_what_was_drawn() -> None:
    thick = loaded(of_camera(1))
    assert thick.target is not None
    bold = ndimage.binary_dilation(thick.target > 127, iterations=1) & thick.fov
    fitted = fit_appearance([loaded(of_camera(1), target=bold.astype(np.uint8) * 255)])
    made = [make_phantom(seed, SIZE, fitted) for seed in range(3)]
    wanted, *found = (
        shape_of(mask, fov, SIZE * 0.45)
        for mask, fov in [(bold, thick.fov), *((one.mask, one.fov) for one in made)]
    )
    assert wanted is not None and wanted.least > 2.4  # 3 pixels, one of their ends apart
    assert all(one is not None and one.least > 0.8 * wanted.least for one in found)


def test_one_image_gives_many_looks() -> None:
    fitted = fit_appearance([loaded(of_camera(0, 128))])
    drawn = [fitted.draw(np.random.default_rng(seed)) for seed in range(8)]
    for name in ("share", "vessel", "brightness", "disc_x", "grain"):
        assert len({getattr(look, name) for look in drawn}) == 8, name


def test_of_many_images_some_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesselforge.data.phantoms.fitted.MOST_IMAGES", 2)
    made = [loaded(make_phantom(seed, 64), target=None) for seed in range(5)]
    some = fit_appearance(made)
    assert len(some.looks) == 2
    assert some == fit_appearance([made[0], made[3]])


def test_fitting_is_repeatable() -> None:
    once, again = (fit_appearance([loaded(of_camera(0, 96))]) for _ in range(2))
    assert once == again


@pytest.mark.parametrize("seed", range(4))
def test_disc_is_found_where_it_is(seed: int) -> None:
    look = GENERIC.draw(np.random.default_rng(seed))
    scene = compose(look, 256, np.random.default_rng(seed))
    made = draw(look, 256, np.random.default_rng(seed), np.random.default_rng(seed))
    disc = Blocks(photo_of(loaded(made))).disc()
    assert disc is not None
    y, x = scene.anatomy.disc / look.field
    assert np.hypot(disc.y - y, disc.x - x) < 0.06


def test_no_disc_in_view_takes_the_generic_one() -> None:
    look = GENERIC.looks[0]
    scene = compose(look, 256, np.random.default_rng(0))
    made = draw(look, 256, np.random.default_rng(0), np.random.default_rng(0))
    y, x = (scene.anatomy.fovea * scene.canvas.radius + scene.canvas.centre).astype(int)
    piece = (slice(y - 40, y + 40), slice(x - 40, x + 40))
    mask = made.mask[piece].astype(np.uint8) * 255
    image = LoadedImage("piece", made.image[piece], mask, made.fov[piece], {})
    found = fit_appearance([image]).looks[0]
    assert (found.disc, found.cup, found.disc_x) == (look.disc, look.cup, look.disc_x)
    assert found.cut == 1
    assert found.radius == pytest.approx(np.sqrt(0.5))


@pytest.mark.parametrize("without", ["no mask", "empty mask"])
def test_without_vessels_theirs_are_generic(without: str) -> None:
    made = make_phantom(0, 96)
    target = None if without == "no mask" else np.zeros(made.fov.shape, np.float32)
    look = fit_appearance([loaded(made, target=target)]).looks[0]
    generic = GENERIC.looks[0]
    for name in ("vessel", "reflex", "share", "tip", "trunk", "tortuosity", "thickness"):
        assert getattr(look, name) == getattr(generic, name), name
    assert look.colour != generic.colour


def test_a_mask_of_one_image_serves_the_others() -> None:
    marked, bare = of_camera(0, 128), of_camera(1, 128)
    looks = fit_appearance([loaded(marked), loaded(bare, target=None)]).looks
    assert looks[1].vessel == looks[0].vessel
    assert looks[1].share == pytest.approx(looks[0].share)


@pytest.mark.parametrize("kind", ["grey", "black", "white", "swapped", "noise", "tiny"])
def test_odd_images_yield_something_that_can_be_drawn(kind: str) -> None:
    made = make_phantom(2, 80)
    image = {
        "grey": np.repeat(made.image[..., 1:2], 3, axis=2),
        "black": np.zeros_like(made.image),
        "white": np.full_like(made.image, 255),
        "swapped": made.image[..., ::-1],
        "noise": np.random.default_rng(0).integers(0, 256, made.image.shape, np.uint8),
        "tiny": made.image,
    }[kind]
    photo = loaded(made, image=np.ascontiguousarray(image))
    if kind == "tiny":
        part = (slice(30, 34), slice(30, 33))
        assert photo.target is not None
        photo = LoadedImage("t", image[part], photo.target[part], photo.fov[part], {})
    fitted = fit_appearance([photo])
    Look.model_validate(fitted.looks[0].model_dump())
    drawn = make_phantom(0, 64, fitted)
    assert drawn.mask.any()
    if kind == "grey":
        colours = drawn.image[drawn.fov].astype(int)
        assert np.abs(colours[:, 0] - colours[:, 2]).mean() < 12


def test_nothing_to_measure() -> None:
    made = make_phantom(0, 64)
    with pytest.raises(DataError, match="found no image"):
        fit_appearance([])
    with pytest.raises(DataError, match="'eye' has an empty field of view"):
        fit_appearance([loaded(made, fov=np.zeros_like(made.fov))])


def test_views() -> None:
    y, x = np.mgrid[:100, :140]
    circle = np.hypot(y - 49.5, x - 69.5) < 45
    radius, centre, cut = view_of(circle)
    assert (radius, cut) == (45, 1)
    assert np.allclose(centre, (50, 70))
    assert view_of(circle & (np.abs(y - 49.5) < 30))[2] == pytest.approx(30 / 45, abs=0.02)
    assert view_of(np.ones((60, 80), bool))[0] == pytest.approx(50)
