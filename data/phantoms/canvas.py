"""The pixels of a phantom: coordinates, smooth noise, vessels as chains of balls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import special

from vesselforge.data.phantoms.anatomy import STEP
from vesselforge.data.phantoms.appearance import Look
from vesselforge.data.phantoms.tree import Tree

Field = NDArray[np.float32]

CUBIC_LOSS = 1.2
"""Cubic interpolation of white noise has a standard deviation of 1 / 1.2 on average."""
LEAST_WIDTH_PX = 1.15
"""Thinner vessels would fall between the pixels of the mask."""
LEAST_VISIBLE_PX = 0.8
"""Radius below which a line of balls is a row of beads in the image."""
LINE_WIDTH = 0.4
"""Of the light along the middle of a vessel, relative to the vessel."""
LEAST_LIT_PX = 1.3
"""Radius of vessels below which that light cannot be seen; it is full in those twice as wide."""
NORMAL: Field = special.ndtri((np.arange(256) + 0.5) / 256).astype(np.float32)
"""256 values of a normal distribution: looking them up takes a fifth of the time of drawing them,
and a step between them is a hundredth of the noise that they are for."""


@dataclass(frozen=True)
class Network:
    """[H, W] each: mask; depth: thickness in the line of sight, in pixels, 0 outside; light: along
    the middle, about 1 there, less where the vessel is narrow."""

    mask: NDArray[np.bool_]
    depth: Field
    light: Field


class Canvas:
    """The pixel grid in radii of the field of view: y [H, 1], x [1, W], origin at its centre.

    full: height and width of the whole image. radius and centre (y, x): of the field of view, in
    pixels of it; step: of those to a pixel of this grid.
    """

    def __init__(
        self, full: tuple[int, int], radius: float, centre: NDArray[np.float64], step: int = 1
    ) -> None:
        self.full, self.radius, self.centre, self.step = full, radius, centre, step
        rows, columns = ((np.arange(-(-side // step)) + 0.5) * step for side in full)
        self.y: Field = ((rows - centre[0]) / radius).astype(np.float32)[:, None]
        self.x: Field = ((columns - centre[1]) / radius).astype(np.float32)[None, :]
        self.shape = (len(rows), len(columns))

    def coarser(self, step: int) -> Canvas:
        """The same view, one pixel for step × step."""
        return Canvas(self.full, self.radius, self.centre, step)

    def squared(self, y: float = 0.0, x: float = 0.0) -> Field:
        """[H, W] squared distance from a point."""
        return np.asarray((self.y - np.float32(y)) ** 2 + (self.x - np.float32(x)) ** 2)

    def window(self, y: float, x: float, reach: float) -> tuple[slice, slice]:
        """Rows and columns of the square of half a side `reach` round a point."""
        rows = np.searchsorted(self.y[:, 0], [y - reach, y + reach])
        columns = np.searchsorted(self.x[0], [x - reach, x + reach])
        return slice(*rows.tolist()), slice(*columns.tolist())

    def noise(self, cell: float, rng: np.random.Generator) -> Field:
        """[H, W] of about unit variance, smooth over `cell` pixels of the whole image."""
        return next(self.noises(cell, np.eye(1), rng))

    def noises(
        self, cell: float, root: NDArray[np.float64], rng: np.random.Generator
    ) -> Iterator[Field]:
        """C such noises [H, W], one after the other, with the covariance root · rootᵀ; root [C, C].

        Where cells are smaller than this grid's pixels their mean remains, which is fainter.
        """
        cell = cell / self.step
        coarse = cell > 1
        shape = tuple(int(np.ceil(n / cell)) for n in self.shape) if coarse else self.shape
        white = normal((len(root), *shape), rng)
        # Sums of planes one by one, not a matrix product: the same bits whatever BLAS there is.
        for weights in (root * (CUBIC_LOSS if coarse else cell)).astype(np.float32):
            knots = white[0] * weights[0]
            for weight, plane in zip(weights[1:], white[1:], strict=True):
                if weight:
                    knots += plane * weight
            yield enlarged(knots, self.shape, cell) if coarse else knots

    def vessels(self, tree: Tree, look: Look) -> Network:
        """The vessels of a tree, in pixels."""
        scale = self.radius / look.field
        parts = []
        for branch in tree.branches:
            assert branch.radius is not None
            last = len(branch.points) - 1
            even = np.linspace(0, last, max(2, int(last * STEP * scale / 0.5)))
            values = (*branch.points.T, branch.radius)
            parts.append([np.interp(even, np.arange(last + 1), one) for one in values])
        *places, radius = np.concatenate(parts, axis=1) * scale
        where = np.stack(places, axis=1) + self.centre - 0.5  # pixel centres at whole numbers
        radius = np.maximum(radius, LEAST_WIDTH_PX / 2)
        # Balls half a pixel apart make thin tubes smooth; of wide ones every third will do.
        apart = np.where(radius < 1.5, 1, np.where(radius < 3.5, 2, 3))
        used = np.arange(len(radius)) % apart == 0
        where, radius = where[used], radius[used]
        return network(self.shape, where, radius, look.girth * radius + look.margin * self.radius)


def normal(shape: tuple[int, ...], rng: np.random.Generator) -> Field:
    """White noise of unit variance."""
    return NORMAL[np.frombuffer(rng.bytes(int(np.prod(shape))), np.uint8)].reshape(shape)


def enlarged(small: Field, shape: tuple[int, int], step: float) -> Field:
    """[H, W] → `shape`, cubic, every pixel becoming step × step; what reaches beyond is cut."""
    box = (0.0, 0.0, shape[1] / step, shape[0] / step)
    image = Image.fromarray(np.ascontiguousarray(small))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.BICUBIC, box=box))


def network(
    shape: tuple[int, int],
    where: NDArray[np.float64],
    radius: NDArray[np.float64],
    seen: NDArray[np.float64],
) -> Network:
    """Tubes, as chains of balls: where [P, 2] as (y, x), radius [P] in the mask and as it is seen
    in the image, in pixels."""
    mask, depth, light = np.zeros((3, *shape), dtype=np.float32)
    drawn = np.maximum(seen, LEAST_VISIBLE_PX)
    line = np.maximum(LINE_WIDTH * seen, LEAST_VISIBLE_PX)
    lit = seen > LEAST_LIT_PX
    bright = np.minimum(1, seen / LEAST_LIT_PX - 1) * LINE_WIDTH * seen / line
    # Drawn wider than it is, a thing is as much fainter.
    tubes = [(mask, radius, np.ones_like(radius)), (depth, drawn, (seen / drawn) ** 4)]
    _stamp(where, tubes)
    _stamp(where[lit], [(light, line[lit], bright[lit] / line[lit] ** 2)])
    return Network(mask > 0, np.sqrt(depth, out=depth) * 2, light)


def _stamp(
    where: NDArray[np.float64],
    balls: Sequence[tuple[Field, NDArray[np.float64], NDArray[np.float64]]],
) -> None:
    """Raise each field [H, W] to weight · (radius² - distance²) round every point [P, 2]; balls:
    (field, radius [P], weight [P])."""
    height, width = balls[0][0].shape
    base = np.rint(where).astype(np.int32)
    largest = np.max([radius for _, radius, _ in balls], axis=0)
    inside = (base > -largest[:, None]) & (base < np.array((height, width)) + largest[:, None])
    reaches = np.where(inside.all(axis=1), np.ceil(largest), 0).astype(int)
    for reach in np.unique(reaches[reaches > 0]):
        chosen = np.flatnonzero(reaches == reach)
        steps = np.arange(-reach, reach + 1, dtype=np.int32)
        rows, columns = (base[chosen, k, None] + steps for k in (0, 1))  # [P, k]
        dy, dx = (
            (one - where[chosen, k, None]).astype(np.float32) ** 2
            for k, one in enumerate((rows, columns))
        )
        # A row beyond the edge is infinitely far away.
        dy[(rows < 0) | (rows >= height)] = np.inf
        dx[(columns < 0) | (columns >= width)] = np.inf
        distance = dy[:, :, None] + dx[:, None, :]
        flat = rows[:, :, None] * np.int32(width) + columns[:, None, :]
        for field, radius, weight in balls:
            value = (radius[chosen] ** 2).astype(np.float32)[:, None, None] - distance
            used = value > 0
            value *= weight[chosen].astype(np.float32)[:, None, None]
            np.maximum.at(field.reshape(-1), flat[used], value[used])
