"""The field of view of a fundus photograph, found from its brightness.

A threshold gives a rough outline; a circle through most of that outline, cut where the camera cuts
it, gives back a rim too dark to see and drops the marker tabs of some cameras.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.morphology import disk

SIDE = 512
"""Longest side at which the outline is looked for; keeps the work to tens of milliseconds."""
LEAST = 4
"""A field of view narrower than the picture's longest side divided by this is none: a reflex, or a
photograph of something else."""

Mask = NDArray[np.bool_]


def derive_fov(image: NDArray[np.uint8]) -> Mask:
    """[H, W] bool of an [H, W, 3] uint8 photograph on a dark surround.

    All True when there is no dark surround: the image is retina up to its corners.
    """
    height, width = image.shape[:2]
    shrink = max(1.0, max(height, width) / SIDE)
    small_size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
    brightness = Image.fromarray(image.max(axis=2)).resize(small_size, Image.Resampling.BOX)
    rough = _rough(np.asarray(brightness))
    if rough is None:
        return np.ones((height, width), dtype=bool)
    fitted = _clipped_circle(rough, (height, width))
    return _enlarged(rough, (height, width)) if fitted is None else fitted


def fov_width(fov: Mask) -> float | None:
    """Diameter in pixels of a field of view [H, W] bool; None where the picture does not show it:
    no border at all, or so little of the picture that it is no retina (less than 1 / LEAST).

    Measured across, or where the picture's edge cuts it left or right, by the circle through its
    rim.
    """
    if fov.all() or not fov.any():
        return None
    columns = np.flatnonzero(fov.any(axis=0))
    cut = fov[:, [0, -1]].any()
    found = _diameter(fov) if cut else float(columns[-1] - columns[0] + 1)
    return found if found is not None and found * LEAST >= max(fov.shape) else None


def _diameter(fov: Mask) -> float | None:
    """Of the circle through the rim of a field of view, as far as the picture's edge is not its
    rim; None when no circle explains it, or it is too large for the arc that is seen of it."""
    step = max(1, round(max(fov.shape) / SIDE))
    small = fov[::step, ::step]
    points = _rim(small)
    circle = _best_circle(points, max(small.shape) / 150) if len(points) >= 20 else None
    if circle is None or circle[3] < 0.5 or not 0.5 <= 2 * circle[2] / max(small.shape) <= 2:
        return None
    return 2 * circle[2] * step


def _rim(mask: Mask) -> NDArray[np.float64]:
    """[P, 2], y and x of the centres of outline pixels that are not at the picture's edge."""
    outline = mask & ~ndimage.binary_erosion(mask, border_value=1)
    outline[[0, -1], :] = outline[:, [0, -1]] = False
    return np.argwhere(outline).astype(float) + 0.5


def _enlarged(mask: Mask, shape: tuple[int, int]) -> Mask:
    return np.asarray(Image.fromarray(mask).resize(shape[::-1], Image.Resampling.NEAREST))


def _rough(brightness: NDArray[np.uint8]) -> Mask | None:
    """The largest bright region without holes, whiskers or dents; None when nearly all is bright.

    The threshold lies between the surround, taken from the corners, and the retina, taken from the
    middle; None, too, when the corners are nearly as bright as the middle.
    """
    h, w = brightness.shape
    k = max(2, min(h, w) // 40)
    corners = [brightness[:k, :k], brightness[:k, -k:], brightness[-k:, :k], brightness[-k:, -k:]]
    dark = float(np.median([np.median(corner) for corner in corners]))
    bright = float(np.median(brightness[h // 4 : h - h // 4, w // 4 : w - w // 4]))
    inside = brightness > dark + 0.15 * (bright - dark)
    if dark > 0.6 * bright or inside.mean() > 0.98:
        return None
    radius = max(1, round(min(h, w) / 100))
    padded = np.pad(inside, radius, mode="edge")
    opened = ndimage.binary_opening(padded, disk(radius))
    inside = ndimage.binary_fill_holes(opened[radius:-radius, radius:-radius])
    labels, count = ndimage.label(inside)
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    mask = labels == sizes.argmax()
    filled = np.ones_like(mask)
    for axis in (0, 1):  # dents between mask pixels both in their row and in their column
        backwards = np.flip(np.maximum.accumulate(np.flip(mask, axis), axis), axis)
        filled &= np.maximum.accumulate(mask, axis) & backwards
    return filled


def _clipped_circle(rough: Mask, shape: tuple[int, int]) -> Mask | None:
    """The circle through most of the outline, cut at the first and last row and column that the
    outline reaches, at full size `shape`. None when no circle explains it."""
    points = _rim(rough)
    if len(points) < 20:
        return None
    circle = _best_circle(points, tolerance=max(rough.shape) / 150)
    if circle is None:
        return None
    y0, x0, r, share = circle
    y, x = np.ogrid[: rough.shape[0], : rough.shape[1]]
    disc = (y + 0.5 - y0) ** 2 + (x + 0.5 - x0) ** 2 <= r * r
    if (rough & disc).sum() < 100:
        return None
    cut = _frame(rough & disc, disc)
    if share < 0.35 or (rough & disc & cut).sum() < 0.85 * (rough | (disc & cut)).sum():
        return None
    scale_y, scale_x = shape[0] / rough.shape[0], shape[1] / rough.shape[1]
    y, x = np.ogrid[: shape[0], : shape[1]]
    disc = ((y + 0.5) / scale_y - y0) ** 2 + ((x + 0.5) / scale_x - x0) ** 2 <= r * r
    return np.asarray(disc & _enlarged(cut, shape))


def _frame(seen: Mask, disc: Mask) -> Mask:
    """The rectangle to which the camera cuts the disc. An edge counts as cut when what is seen
    ends there along half the disc's chord; else the rim is only too dark to see."""
    frame = np.ones_like(seen)
    for axis in (0, 1):
        profile, chord = seen.sum(axis=1 - axis), disc.sum(axis=1 - axis)
        present = np.flatnonzero(profile)
        for edge, step in ((present[0], 1), (present[-1], -1)):
            near = edge + 4 * step  # past the ragged last rows
            if profile[near] > 0.5 * chord[near]:
                outer = slice(None, edge) if step == 1 else slice(edge + 1, None)
                frame[(outer, slice(None)) if axis == 0 else (slice(None), outer)] = False
    return frame


def _best_circle(
    points: NDArray[np.float64], tolerance: float
) -> tuple[float, float, float, float] | None:
    """(y, x, radius, share of points near it) of the circle near most points: RANSAC with a fixed
    seed, then least squares. None when all points lie on one line."""
    rng = np.random.default_rng(0)
    triples = points[rng.integers(0, len(points), size=(300, 3))]  # [300, 3, 2]
    a, b, c = triples[:, 0], triples[:, 1], triples[:, 2]
    matrix = 2 * np.stack([b - a, c - a], axis=1)  # the centre is equally far from a, b and c
    right = np.stack([(b**2).sum(1) - (a**2).sum(1), (c**2).sum(1) - (a**2).sum(1)], axis=1)
    sound = np.abs(np.linalg.det(matrix)) > 1e-3 * np.ptp(points, axis=0).prod()
    if not sound.any():
        return None
    centres = np.linalg.solve(matrix[sound], right[sound][..., None])[..., 0]
    radii = np.hypot(*(centres - a[sound]).T)
    offsets = points[None] - centres[:, None]  # [triples, P, 2]
    near = np.abs(np.hypot(offsets[..., 0], offsets[..., 1]) - radii[:, None]) < tolerance
    chosen = near[int(near.sum(axis=1).argmax())]
    y, x = points[chosen].T
    design = np.stack([2 * y, 2 * x, np.ones_like(x)], axis=1)
    (y0, x0, k), *_ = np.linalg.lstsq(design, y**2 + x**2, rcond=None)
    # Half a pixel to the outer edge of the outline's pixels, half of that back because the
    # threshold meets a blurred edge near its foot.
    radius = float(np.sqrt(k + y0**2 + x0**2)) + 0.25
    return float(y0), float(x0), radius, float(chosen.mean())
