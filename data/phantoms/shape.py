"""The shape of drawn vessels: how many, how wide, how winding; of masks of people and phantoms."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

Mask = NDArray[np.bool_]
Field = NDArray[np.float32]

SMOOTH = 0.012
"""Of the radius of the view: detail of a centre line that is the pixels', not the vessel's."""


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


def mean_shape(shapes: list[Shape]) -> Shape:
    return Shape(*np.mean([astuple(shape) for shape in shapes], axis=0).tolist())


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
    left = {tuple(p) for p in np.argwhere((line > 0) & (neighbours < 3)).tolist()}
    ends = [tuple(p) for p in np.argwhere((line > 0) & (neighbours < 2)).tolist()]
    pieces = []
    beside_nodes = [p for p in left if neighbours[p] == 2 and sum(q in left for q in _round(p)) < 2]
    for start in ends + sorted(beside_nodes):
        if start not in left:
            continue
        piece = []
        at: tuple[int, ...] | None = start
        while at is not None:
            left.discard(at)
            piece.append(at)
            at = next((q for q in _round(at) if q in left), None)
        pieces.append(np.array(piece, dtype=np.float64))
    return pieces


def _round(p: tuple[int, ...]) -> list[tuple[int, int]]:
    """The neighbours of a pixel, those that share a side first."""
    y, x = p
    return [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1),
            (y - 1, x - 1), (y - 1, x + 1), (y + 1, x - 1), (y + 1, x + 1)]  # fmt: skip
