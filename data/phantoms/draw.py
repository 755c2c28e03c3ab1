"""One phantom from a seed.

The light is modelled roughly as it is in an eye: a choroid-coloured ground, vessels that absorb by
their thickness (thin ones are faint by themselves), uneven light, then the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.ranges import is_number
from vesselforge.data.phantoms.anatomy import draw_anatomy
from vesselforge.data.phantoms.appearance import GENERIC, Appearance, Look, randomised
from vesselforge.data.phantoms.canvas import LEAST_WIDTH_PX, Canvas
from vesselforge.data.phantoms.light import ARTERY, VEIN, Scene, photograph
from vesselforge.data.phantoms.tree import grow_trees

LEAST_SIZE = 32
VERSION = 3
"""Raise it when the same seed gives another image: it is part of what stages depend on."""


@dataclass(frozen=True)
class Phantom:
    """image [H, W, 3] uint8; mask (vessel) and fov [H, W] bool."""

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    fov: NDArray[np.bool_]


def make_phantom(
    seed: int, size: int = 192, appearance: Appearance = GENERIC, randomise: float = 0.0
) -> Phantom:
    """One square image, the same for the same arguments.

    seed: 0 or more. size: pixels, at least 32. randomise: in [0, 1], see
    `appearance.randomised`. Raises ConfigError for anything else.
    """
    for name, found, least in (("seed", seed, 0), ("size", size, LEAST_SIZE)):
        if not is_number(found, least, whole=True):
            fault = f"found {found!r}, expected a whole number, {least} or more"
            raise ConfigError(f"{name} of a phantom: {fault}")
    if not is_number(randomise, 0, 1):
        raise ConfigError(f"randomise of a phantom: found {randomise!r}, expected 0 to 1")
    # For the look, its randomisation, the geometry, the light: what one of them draws more leaves
    # the others alone.
    looks, domains, *rest = (np.random.default_rng([seed, 20011, part]) for part in range(4))
    return draw(randomised(appearance.draw(looks), randomise, domains), size, *rest)


def draw(look: Look, size: int, shapes: np.random.Generator, light: np.random.Generator) -> Phantom:
    """The phantom of this look, its masks from the stream `shapes`, the rest from `light`."""
    scene = compose(look, size, shapes)
    return Phantom(photograph(scene, look, light), scene.mask, scene.fov)


def compose(look: Look, size: int, rng: np.random.Generator) -> Scene:
    """An eye in front of the camera. It depends on geometry and vessels of `look` alone."""
    radius = size * look.radius
    centre = np.array([0.5 + look.centre_y, 0.5 + look.centre_x]) * size
    canvas = Canvas((size, size), radius, centre)
    anatomy = draw_anatomy(rng, look.field, (look.disc_y, look.disc_x))
    # Small images hold no hair-thin vessels: with the same share they would only be wider.
    least = LEAST_WIDTH_PX / 2 / radius * look.field
    arteries, veins = (canvas.vessels(tree, look) for tree in grow_trees(anatomy, rng, look, least))
    fov = (canvas.squared() <= 1) & (np.abs(canvas.y) <= look.cut)
    return Scene(canvas, anatomy, [(arteries, *ARTERY), (veins, *VEIN)], fov)
