"""Figures of a photograph that its phantom should have as well, measured alike on both."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesselforge.data.phantoms.appearance import GRAIN_PX, TEXTURE_CELLS
from vesselforge.data.phantoms.canvas import Field, enlarged
from vesselforge.data.phantoms.photo import Disc, Photo, shrunk

Values = NDArray[np.float64]
STEP = 4
"""Pixels to a block, for what is coarser than that."""
CLASSES = (0.0, 0.4, 0.8, 1.0)
"""Quantiles of the calibre between thin, medium and wide vessels."""


Figures = dict[str, Values]
"""What was measured, by name; what there is nothing to measure on is left out.

Of the ground: colour [3]: mean; bands [levels, 3]: standard deviation between a cell's size and the
next; mix [levels, 3]: correlations as in `Look`.
Of the disc: disc [3]: mean; cup [3]: what its brightest quarter has more; ring: brightness round
it, against the light, green.
Of vessels: contrast [3 classes, 3 channels] with the ground, thin to wide, negative where dark;
crest [3]: light along the middle of wide ones, against halfway to the edge; breadths [2], of thin
and wide: mean squared distance of darkness from the middle, pixels²; variation: of green contrast
within a class, relative.
"""


def measure(photo: Photo, disc: Disc | None, light: Field) -> Figures:
    """All figures of one photograph; disc: where it is; light [3, H, W]: smooth, not texture."""
    ground = photo.ground
    if disc is not None:
        off = photo.canvas.squared(disc.y, disc.x)
        ground = ground & (off > (1.3 * disc.radius) ** 2)
    bands, mix = _bands(photo, ground, light)
    colour = np.array([plane[ground].mean() if ground.any() else 0.0 for plane in photo.planes])
    found = {"colour": colour, "bands": bands, "mix": mix} | _vessels(photo, ground)
    return found if disc is None else found | _plate(photo, disc, light)


def _plate(photo: Photo, disc: Disc, light: Field) -> Figures:
    """Nothing where the disc or what is round it is hardly in view."""
    off = np.sqrt(photo.canvas.squared(disc.y, disc.x)) / disc.radius
    inside, ring = (off < 0.85) & photo.ground, (off > 1.2) & (off < 1.5) & photo.ground
    if min(inside.sum(), ring.sum()) < 20:
        return {}
    found = photo.planes[:, inside].astype(np.float64)
    mean = found.mean(axis=1)
    bright = found[:, found[1] >= np.quantile(found[1], 0.75)].mean(axis=1)
    green = (photo.planes[1] - light[1])[ring].mean(dtype=np.float32)
    return {"disc": mean, "cup": bright - mean, "ring": np.float64(green)}


def sigmas(radius: float) -> list[float]:
    """Of the Gaussians between which the bands of GRAIN_PX and TEXTURE_CELLS lie; pixels."""
    return [0.0] + [0.8 * cell for cell in (*GRAIN_PX, *(c * radius for c in TEXTURE_CELLS))]


def _bands(photo: Photo, ground: NDArray[np.bool_], light: Field) -> tuple[Values, Values]:
    """Between two Gaussians, of the ground alone: masked means, so that vessels do not count."""
    flat = photo.planes - light
    mass = ground.astype(np.float32)
    sums = flat * mass
    before, last, used = flat, 0.0, ground
    deviations, mixes = [], []
    step = 1
    for sigma in sigmas(photo.canvas.radius)[1:]:
        if step == 1 and sigma >= STEP / 2 and min(ground.shape) > 8 * STEP:
            step = STEP  # a sixteenth of the work
            sums = np.stack([shrunk(plane, step) for plane in sums])
            mass = shrunk(mass, step)
            before, used = _smooth(sums, mass, last / step), mass > 0.5
        after = _smooth(sums, mass, sigma / step)
        band = (before - after)[:, used].astype(np.float64)
        before, last = after, sigma
        enough = band.shape[1] > 30
        # Robust: a bright rim or a lesion is no texture.
        deviations.append(1.48 * np.median(np.abs(band), axis=1) if enough else np.zeros(3))
        mixes.append(_correlations(band) if enough else np.zeros(3))
    return np.array(deviations), np.array(mixes)


def _smooth(sums: Field, mass: Field, sigma: float) -> Field:
    """[3, H, W] means round every pixel, of what is `mass` there."""
    total = np.stack([ndimage.gaussian_filter(plane, sigma, truncate=3) for plane in sums])
    share = ndimage.gaussian_filter(mass, sigma, truncate=3)
    return np.asarray(total / np.maximum(share, 1e-3), dtype=np.float32)


def _correlations(band: Values) -> Values:
    """Red with green, green with blue, red with blue; 0 where a channel is flat."""
    limit = 4.5 * np.median(np.abs(band), axis=1, keepdims=True)
    left = np.clip(band - np.median(band, axis=1, keepdims=True), -limit, limit)
    covariance = left @ left.T / left.shape[1]
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    matrix = covariance / np.maximum(scale, 1e-12)
    return np.array([matrix[0, 1], matrix[1, 2], matrix[0, 2]])


def _vessels(photo: Photo, ground: NDArray[np.bool_]) -> Figures:
    """Nothing for fewer than 50 pixels of centre line, or no ground to compare them with."""
    rows, columns = photo.lines.where.T
    if len(rows) < 50 or not ground.any():
        return {}
    sigma = photo.canvas.radius / 20
    step = STEP if sigma >= STEP / 2 else 1
    sums = np.stack([shrunk(plane * ground, step) for plane in photo.planes])
    behind = _smooth(sums, shrunk(ground.astype(np.float32), step), sigma / step)
    shape = photo.canvas.shape
    above = photo.planes - np.stack([enlarged(plane, shape, step) for plane in behind])
    # The reference may lie a pixel beside the vessel: the darkest of 3 × 3 is taken.
    soft = np.stack([ndimage.gaussian_filter(plane, 0.7, truncate=3) for plane in above])
    darkest = np.stack([ndimage.minimum_filter(plane, 3)[rows, columns] for plane in soft])
    order = np.argsort(photo.lines.calibre, kind="stable")
    parts = [
        order[int(low * len(order)) : int(high * len(order))]
        for low, high in itertools.pairwise(CLASSES)
    ]
    contrast = np.array([darkest[:, part].mean(axis=1) for part in parts])
    green = [darkest[1, part] for part in parts[1:]]
    variation = np.mean([g.std() / max(1e-3, abs(float(g.mean()))) for g in green])
    figures = {"contrast": contrast.astype(np.float64), "variation": np.asarray(variation)}
    return figures | _across(photo, above)


def _across(photo: Photo, above: Field) -> Figures:
    """Crest and breadths; 0 where there are no such vessels."""
    width = np.zeros(photo.mask.shape, np.float32)
    width[tuple(photo.lines.where.T)] = photo.lines.width  # none is 0
    off, nearest = ndimage.distance_transform_edt(width == 0, return_indices=True)
    radius = width[tuple(nearest)] / 2
    near = (off < radius + 2.5) & photo.fov
    thin, wide = np.quantile(photo.lines.width, CLASSES[1:3]) / 2
    broad = near & (radius >= max(2.0, wide))
    breadths = [_breadth(above, off, one) for one in (near & (radius <= thin), broad)]
    middle, side = broad & (off < 0.25 * radius), broad & (off > 0.35 * radius)
    side &= off < 0.65 * radius
    crest = np.zeros(3)
    if min(middle.sum(), side.sum()) >= 20:
        crest = above[:, middle].mean(axis=1) - above[:, side].mean(axis=1)
    return {"crest": crest.astype(np.float64), "breadths": np.array(breadths)}


def _breadth(above: Field, off: Values, used: NDArray[np.bool_]) -> float:
    """Mean squared distance from the middle, weighted with darkness in green; 0: nothing there."""
    if not used.any():
        return 0.0
    dark = np.bincount(np.rint(off[used]).astype(int), -above[1, used].astype(np.float64))
    dark = np.maximum(dark, 0)  # by distance, so that noise cancels first
    return float((dark * np.arange(len(dark)) ** 2).sum() / max(1e-6, dark.sum()))
