"""The shape of drawn vessels: how many, how wide, how winding; of masks of people and phantoms.

`calibrated` corrects the figures of growth on trees grown with them, until these are like the
drawn ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from vesselforge.data.phantoms.appearance import GENERIC, Look
from vesselforge.data.phantoms.draw import compose

Mask = NDArray[np.bool_]

SMOOTH = 0.012
"""Of the radius of the view: detail of a centre line that is the pixels', not the vessel's."""
ROUNDS = 5
MURRAY = 4.0
"""Exponent of fitted trees: with 3 they have fewer vessels of medium width than DRIVE's."""
TREES = 8
"""Grown in a round, at least: the mean of their shares and widths is known to 2 %."""


@dataclass(frozen=True)
class CentreLines:
    """where [P, 2]: the skeleton's pixels as (y, x). calibre [P]: 2 · EDT - 1 pixels, EDT the
    distance to the nearest pixel that is no vessel. width [P]: with less error, smooth along it."""

    where: NDArray[np.int64]
    calibre: NDArray[np.float64]
    width: NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """share of the field of view; calibre: mean, pixels; least: width that 5 % do not reach; thin,
    wide: mean width of the thinnest 40 % and the widest 10 % of the centre lines, pixels; winding:
    mean curvature × radius of the view."""

    share: float
    calibre: float
    least: float
    thin: float
    wide: float
    winding: float


def centre_lines(mask: Mask) -> CentreLines:
    """Of a vessel mask [H, W]."""
    where = np.argwhere(skeletonize(mask))
    depth = ndimage.distance_transform_edt(mask)
    return CentreLines(where, 2 * depth[tuple(where.T)] - 1, _widths(mask, where))


def shape_of(mask: Mask, fov: Mask, radius: float) -> Shape | None:
    """None for a mask without as much as 50 pixels of centre line. radius: of the view, pixels."""
    lines = centre_lines(mask & fov)
    if len(lines.where) < 50:
        return None
    widths = np.sort(lines.width)
    count = len(widths)
    return Shape(
        share=float(mask[fov].mean()),
        calibre=float(lines.calibre.mean()),
        least=float(np.quantile(widths, 0.05)),
        thin=float(widths[: int(0.4 * count)].mean()),
        wide=float(widths[int(0.9 * count) :].mean()),
        winding=_winding(lines.where, mask.shape, radius),
    )


def calibrated(looks: Sequence[Look], drawn: Sequence[tuple[Mask, Mask]]) -> list[Look]:
    """Looks whose trees have share, widths and winding of the masks (mask, fov), each its own
    share and winding, all the same thinnest radius; a mask without vessels, those of the others;
    as they were, when none has vessels.

    Corrections have exponents a little below those that would do it at once: the figures pull at
    each other. Trees have not all that is drawn: with the mean calibre of DRIVE's masks their twigs
    are half a pixel too wide, with those twigs the mean is too low; `twig` takes the middle.
    """
    sizes = [max(mask.shape) for mask, _ in drawn]
    found = [
        shape_of(*one, look.radius * size)
        for look, one, size in zip(looks, drawn, sizes, strict=True)
    ]
    if not any(found):
        return list(looks)
    mean = _mean(found)
    looks = [
        _start(look, shape or mean, size, mean)
        for look, shape, size in zip(looks, found, sizes, strict=True)
    ]
    for _ in range(ROUNDS):
        grown = []
        for number in range(-(-TREES // len(looks))):
            for look, size in zip(looks, sizes, strict=True):
                scene = compose(look, size, np.random.default_rng([number, 7]))
                grown.append(shape_of(scene.mask, scene.fov, scene.canvas.radius))
        got = _mean(grown)
        thin = got.calibre / mean.calibre * np.sqrt(got.thin / mean.thin)
        looks = [
            look.with_figures(
                {
                    "share": look.share * mean.share / got.share,
                    "trunk": look.trunk * (mean.wide / got.wide) ** 0.8,
                    "twig": look.twig * thin**2.5,
                    "tortuosity": look.tortuosity * (mean.winding / max(got.winding, 1e-3)) ** 1.2,
                }
            )
            for look in looks
        ]
    return looks


def _mean(shapes: Sequence[Shape | None]) -> Shape:
    known = [astuple(shape) for shape in shapes if shape]
    return Shape(*np.mean(known, axis=0).tolist())


def _start(look: Look, shape: Shape, size: int, mean: Shape) -> Look:
    """The thinnest vessels are as thin as people draw them, no thinner; the rest is corrected."""
    generic = GENERIC.looks[0]
    values = {
        "share": shape.share,
        "tip": mean.least / 2 / (look.radius * size) * look.field,
        "trunk": generic.trunk * (shape.wide / mean.wide) ** 0.7,
        "murray": MURRAY,
        "twig": 0.3,
        "tortuosity": generic.tortuosity * shape.winding / max(mean.winding, 1e-3),
    }
    return look.with_figures(values)


def _widths(mask: Mask, where: NDArray[np.int64]) -> NDArray[np.float64]:
    """[P] width in pixels at skeleton pixels. Measured at twice the resolution: there every width
    is even, else one of 2 pixels is taken for 1."""
    double = ndimage.distance_transform_edt(mask.repeat(2, axis=0).repeat(2, axis=1))
    rows, columns = (2 * where).T
    around = [double[rows + i, columns + j] for i in (0, 1) for j in (0, 1)]
    total, count = np.zeros((2, *mask.shape), np.float32)
    total[tuple(where.T)] = np.maximum(1, np.max(around, axis=0))
    count[tuple(where.T)] = 1
    total, count = (ndimage.gaussian_filter(one, 2.0, truncate=2) for one in (total, count))
    return np.asarray((total / np.maximum(count, 1e-9))[tuple(where.T)], dtype=np.float64)


def _winding(where: NDArray[np.int64], shape: tuple[int, ...], radius: float) -> float:
    """Mean absolute curvature of the pieces between nodes, in 1 / radius."""
    sigma = max(1.5, SMOOTH * radius)
    turns = length = 0.0
    for piece in _pieces(where, shape):
        if len(piece) < 5 * sigma:
            continue
        y, x = (ndimage.gaussian_filter1d(one, sigma, mode="nearest") for one in piece.T)
        dy, dx = np.gradient(y), np.gradient(x)
        angle = np.unwrap(np.arctan2(dy, dx))
        inner = slice(int(sigma), len(piece) - int(sigma))
        turns += float(np.abs(np.gradient(angle))[inner].sum())
        length += float(np.hypot(dy, dx)[inner].sum())
    return turns / length * radius if length else 0.0


def _pieces(where: NDArray[np.int64], shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """The skeleton cut at its nodes, each piece's pixels in order."""
    line = np.zeros(shape, dtype=np.uint8)
    line[tuple(where.T)] = 1
    neighbours = ndimage.convolve(line, np.ones((3, 3), np.uint8), mode="constant") - 1
    left = {(y, x) for y, x in np.argwhere((line > 0) & (neighbours < 3)).tolist()}
    ends = np.argwhere((line > 0) & (neighbours < 2)).tolist()
    beside_nodes = [p for p in left if neighbours[p] == 2 and sum(q in left for q in _round(p)) < 2]
    pieces = []
    for y, x in ends + sorted(beside_nodes):
        piece = []
        at: tuple[int, int] | None = (y, x) if (y, x) in left else None
        while at is not None:
            left.discard(at)
            piece.append(at)
            at = next((q for q in _round(at) if q in left), None)
        if piece:
            pieces.append(np.array(piece, dtype=np.float64))
    return pieces


def _round(p: tuple[int, int]) -> list[tuple[int, int]]:
    """The neighbours of a pixel, those that share a side first."""
    y, x = p
    return [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1),
            (y - 1, x - 1), (y - 1, x + 1), (y + 1, x - 1), (y + 1, x + 1)]  # fmt: skip
