"""A real photograph as the fit sees it: planes, field of view, and the vessels of its mask."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesselforge.configs.errors import DataError
from vesselforge.data.imageset import LoadedImage
from vesselforge.data.phantoms.appearance import DARK
from vesselforge.data.phantoms.canvas import Canvas, Field
from vesselforge.data.phantoms.shape import CentreLines, centre_lines

Mask = NDArray[np.bool_]
RIM = 0.03
"""Of the radius: what is not measured at the edge of the field of view."""


@dataclass(frozen=True)
class Photo:
    """planes [3, H, W] on the scale log(I + DARK); fov and mask (vessel) [H, W]; cut: half the
    view's height in radii; lines: of the vessels in the mask; ground [H, W]: neither vessel nor
    edge."""

    canvas: Canvas
    planes: Field
    fov: Mask
    cut: float
    mask: Mask
    lines: CentreLines
    ground: Mask

    @property
    def intensity(self) -> Field:
        """[3, H, W] in [0, 1]."""
        return np.exp(self.planes) - np.float32(DARK)

    def seen(self, image: NDArray[np.uint8]) -> Photo:
        """The same vessels in another image [H, W, 3]."""
        return replace(self, planes=to_planes(image))


def to_planes(image: NDArray[np.uint8]) -> Field:
    """[H, W, 3] of bytes → [3, H, W] on the scale log(I + DARK)."""
    table = np.log(np.arange(256) / 255 + DARK).astype(np.float32)
    return table[np.ascontiguousarray(image.transpose(2, 0, 1))]


def photo_of(image: LoadedImage) -> Photo:
    """Raises DataError for an empty field of view."""
    if not image.fov.any():
        raise DataError(f"image {image.id!r} has an empty field of view, nothing can be measured")
    radius, centre, cut = view_of(image.fov)
    canvas = Canvas(image.fov.shape, radius, centre)
    mask = np.zeros_like(image.fov) if image.target is None else (image.target > 127) & image.fov
    inside = ndimage.binary_erosion(image.fov, iterations=max(1, round(RIM * radius)))
    ground = inside & ~ndimage.binary_dilation(mask, iterations=2)
    return Photo(
        canvas=canvas,
        planes=to_planes(image.image),
        fov=image.fov,
        cut=cut,
        mask=mask,
        lines=centre_lines(mask),
        ground=ground if ground.any() else image.fov,
    )


def view_of(fov: Mask) -> tuple[float, NDArray[np.float64], float]:
    """Radius and centre (y, x) in pixels of a field of view, and half its height in radii: 1 is a
    whole circle. Of an image that is retina up to its corners the circle goes through them."""
    rows, columns = (np.flatnonzero(fov.any(axis=axis)) for axis in (1, 0))
    low, high = np.array([rows[0], columns[0]]), np.array([rows[-1], columns[-1]]) + 1
    height, width = (high - low).tolist()
    radius = max(height, width) / 2
    if fov.sum() > 0.95 * height * width:
        radius = float(np.hypot(height, width)) / 2
        return radius, (low + high) / 2, 1.0
    cut = height / 2 / radius
    return radius, (low + high) / 2, cut if cut < 0.97 else 1.0
