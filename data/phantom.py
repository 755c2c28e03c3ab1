"""Procedural fundus photographs with exact vessel masks: no download needed to learn.

The light is modelled roughly as it is in an eye: a choroid-coloured ground, vessels that absorb by
their thickness (thin ones are faint by themselves), uneven light, then the camera.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from configs.settings import PhantomSettings
from data.imageset import write_png
from data.phantom_light import expose, ground, vessels
from data.phantom_tree import STEP, Anatomy, Tree, draw_anatomy, grow_trees
from data.splits import SPLITS

Field = NDArray[np.float32]

VERSION = 1
"""Raise it when the same seed gives another image: it is part of what stages depend on."""
LEAST_WIDTH_PX = 1.15
"""Thinner vessels would fall between the pixels of the mask."""


@dataclass(frozen=True)
class Phantom:
    """image [H, W, 3] uint8; mask (vessel), fov, arteries and veins [H, W] bool; disc and fovea as
    (y, x) in pixels."""

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    fov: NDArray[np.bool_]
    arteries: NDArray[np.bool_]
    veins: NDArray[np.bool_]
    disc: tuple[float, float]
    fovea: tuple[float, float]


def make_phantom(seed: int, size: int = 192) -> Phantom:
    """One square image, the same for the same seed and size. size: pixels, at least 32."""
    rng = np.random.default_rng([seed, 20011])
    radius = size * rng.uniform(0.465, 0.485)
    centre = size / 2 + rng.uniform(-0.008, 0.008, 2) * size
    canvas = Canvas(size, radius, centre)
    anatomy = draw_anatomy(rng)
    # Small images hold no hair-thin vessels: with the same share they would only be wider.
    arteries, veins = grow_trees(
        anatomy, rng, share=rng.uniform(0.097, 0.13), least_radius=LEAST_WIDTH_PX / 2 / radius
    )
    artery_depth, vein_depth = canvas.draw(arteries), canvas.draw(veins)
    fov = canvas.r <= 1
    artery_mask, vein_mask = (artery_depth > 0) & fov, (vein_depth > 0) & fov
    image = _photograph(canvas, anatomy, artery_depth, vein_depth, rng)
    disc, fovea = (tuple(float(v) for v in canvas.pixels(p)) for p in (anatomy.disc, anatomy.fovea))
    return Phantom(
        image=image,
        mask=artery_mask | vein_mask,
        fov=fov,
        arteries=artery_mask,
        veins=vein_mask,
        disc=(disc[0], disc[1]),
        fovea=(fovea[0], fovea[1]),
    )


def phantom_names(seed: int, counts: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
    """(split, id, seed of the image) of a whole set; more images never change earlier ones."""
    for split, count in counts.items():
        for number in range(count):
            words = np.random.SeedSequence([seed, SPLITS.index(split), number]).generate_state(1)
            yield split, f"{split}-{number:04d}", int(words[0])


def write_phantoms(folder: Path, settings: PhantomSettings) -> list[str]:
    """Write the whole set as images/, masks/, fov/ (the layout `paired`); returns the ids."""
    counts = dict(zip(SPLITS, (settings.train, settings.validation, settings.test), strict=True))
    ids = []
    for _, id_, seed in phantom_names(settings.seed, counts):
        phantom = make_phantom(seed, settings.size)
        write_png(folder / "images" / f"{id_}.png", phantom.image)
        write_png(folder / "masks" / f"{id_}.png", phantom.mask.astype(np.uint8) * 255)
        write_png(folder / "fov" / f"{id_}.png", phantom.fov.astype(np.uint8) * 255)
        ids.append(id_)
    return ids


class Canvas:
    """The pixel grid in units of the field of view: y, x and r [H, W], origin at its centre."""

    def __init__(self, size: int, radius: float, centre: NDArray[np.float64]) -> None:
        self.size, self.radius, self.centre = size, radius, centre
        axis = np.arange(size, dtype=np.float32) + 0.5
        self.y: Field = ((axis - centre[0]) / radius).astype(np.float32)[:, None]
        self.x: Field = ((axis - centre[1]) / radius).astype(np.float32)[None, :]
        self.r: Field = np.hypot(self.y, self.x)

    def pixels(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """(y, x) in pixels."""
        return point * self.radius + self.centre

    def away(self, point: NDArray[np.float64]) -> Field:
        """[H, W] distance from a point."""
        return np.hypot(self.y - np.float32(point[0]), self.x - np.float32(point[1]))

    def draw(self, tree: Tree) -> Field:
        """[H, W] thickness of the tree's vessels in the line of sight, in pixels; 0 outside."""
        points, radii = [], []
        for branch in tree.branches:
            assert branch.radius is not None
            length = (len(branch.points) - 1) * STEP * self.radius
            even = np.linspace(0, len(branch.points) - 1, max(2, int(length / 0.5)))
            index = np.arange(len(branch.points))
            points.append(
                np.stack([np.interp(even, index, branch.points[:, k]) for k in (0, 1)], axis=1)
            )
            radii.append(np.interp(even, index, branch.radius))
        where = self.pixels(np.concatenate(points)) - 0.5  # pixel centres at whole numbers
        radius = np.maximum(np.concatenate(radii) * self.radius, LEAST_WIDTH_PX / 2)
        squared = np.zeros((self.size, self.size), dtype=np.float32)
        for reach in np.unique(np.ceil(radius).astype(int)):
            chosen = np.ceil(radius).astype(int) == reach
            _stamp(squared, where[chosen], radius[chosen], int(reach))
        return np.sqrt(squared) * 2


def _stamp(
    squared: Field, where: NDArray[np.float64], radius: NDArray[np.float64], reach: int
) -> None:
    """Raise `squared` to radius² − distance² round every point: a chain of balls is a tube."""
    size = squared.shape[0]
    base = np.rint(where).astype(int)
    steps = np.arange(-reach, reach + 1)
    rows = base[:, 0, None] + steps  # [P, k]
    columns = base[:, 1, None] + steps
    dy = (rows - where[:, 0, None])[:, :, None]
    dx = (columns - where[:, 1, None])[:, None, :]
    value = (radius**2)[:, None, None] - dy**2 - dx**2
    inside = value > 0
    inside &= ((rows >= 0) & (rows < size))[:, :, None]
    inside &= ((columns >= 0) & (columns < size))[:, None, :]
    flat = (rows[:, :, None] * size + columns[:, None, :])[inside]
    np.maximum.at(squared.reshape(-1), flat, value[inside].astype(np.float32))


def _photograph(
    canvas: Canvas, anatomy: Anatomy, arteries: Field, veins: Field, rng: np.random.Generator
) -> NDArray[np.uint8]:
    colour = ground(canvas.y, canvas.x, canvas.r, anatomy, rng)
    colour = vessels(
        colour, arteries, veins, canvas.away(anatomy.disc) / anatomy.disc_radius, canvas.radius, rng
    )
    return expose(colour, canvas.r, canvas.y, canvas.x, canvas.radius, rng)
