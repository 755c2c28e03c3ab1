"""A real photograph as the fit sees it: planes, field of view, the vessels of its mask; and in
blocks of a 64th of the radius where disc and fovea are, and the ground and light without vessels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import fftconvolve
from skimage.measure import block_reduce

from vesselforge.configs.errors import DataError
from vesselforge.data.imageset import LoadedImage
from vesselforge.data.phantoms.anatomy import FOVEA_WIDTH, MACULA_WIDTH
from vesselforge.data.phantoms.appearance import DARK
from vesselforge.data.phantoms.canvas import Canvas, Field
from vesselforge.data.phantoms.light import light_terms
from vesselforge.data.phantoms.shape import CentreLines, centre_lines

Mask = NDArray[np.bool_]
RIM = 0.03
"""Of the radius: what is not measured at the edge of the field of view."""
CELLS = 64
LEAST_CONTRAST = 0.12
"""Of a disc with its surroundings, on the logarithmic scale, green plus half of red."""


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


@dataclass(frozen=True)
class Disc:
    """In radii of the field of view: centre from the middle of the view, radius."""

    y: float
    x: float
    radius: float


@dataclass(frozen=True)
class Ground:
    """weights [13, 3] of 1 and `light_terms`; dark [2, 3]: of macula and fovea, None where they are
    out of view; nasal: 1 if the nose is on the right, else -1; fitted [3, h, w] on the blocks."""

    weights: NDArray[np.float64]
    dark: NDArray[np.float64] | None
    nasal: float
    fitted: Field


def shrunk(field: Field, step: int) -> Field:
    """Means over blocks of step × step; beyond the edge is 0."""
    return np.asarray(block_reduce(field, step, np.mean))


class Blocks:
    """The photograph on a grid of about 128 × 128: weight [h, w] share of a block that is ground,
    planes [3, h, w] means of the ground's pixels, vessels [h, w] share of vessel."""

    def __init__(self, photo: Photo) -> None:
        step = max(1, round(photo.canvas.radius / CELLS))
        self.canvas = photo.canvas.coarser(step)
        self.weight = shrunk(photo.ground.astype(np.float32), step)
        sums = np.stack([shrunk(plane * photo.ground, step) for plane in photo.planes])
        self.planes: Field = (sums / np.maximum(self.weight, 1e-6)).astype(np.float32)
        self.vessels = shrunk(photo.mask.astype(np.float32), step)

    def disc(self) -> Disc | None:
        """The bright plate where vessels meet, or None: nothing there stands out."""
        flat = self.planes - self.ground(None, 1.0).fitted
        bright = flat[1] + np.float32(0.5) * flat[0]
        tried = [self._best_place(bright, float(rho)) for rho in np.geomspace(0.09, 0.28, 9)]
        score, contrast, disc = max(tried, key=lambda one: one[0])
        if not np.isfinite(score) or contrast < LEAST_CONTRAST:
            return None
        return Disc(disc.y, disc.x, self._edge(bright, disc))

    def _best_place(self, bright: Field, rho: float) -> tuple[float, float, Disc]:
        """Score, contrast and place of the best disc of radius `rho`; -inf where none would fit."""
        radius = self.canvas.radius / self.canvas.step
        reach = int(np.ceil(1.8 * rho * radius))
        rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        off = np.hypot(rows, columns) / (rho * radius)

        def mean_over(
            values: Field, weight: Field, kernel: Mask, least: float
        ) -> tuple[Field, Mask]:
            """Weighted means under a kernel round every block, and where weight is enough."""
            mass = fftconvolve(weight, kernel.astype(np.float32), mode="same")
            total = fftconvolve(values * weight, kernel.astype(np.float32), mode="same")
            return total / np.maximum(mass, np.float32(1e-3)), mass > least * kernel.sum()

        inner, enough = mean_over(bright, self.weight, off < 0.9, 0.35)
        ring, enough_round = mean_over(bright, self.weight, (off > 1.2) & (off < 1.75), 0.25)
        density, _ = mean_over(self.vessels, np.ones_like(bright), off < 1.75, 0.0)
        contrast = inner - ring
        score = contrast * np.sqrt(rho) * (0.3 + np.minimum(density / 0.2, 1.2))
        score = np.where(enough & enough_round, score, -np.inf)
        row, column = divmod(int(score.argmax()), score.shape[1])
        disc = Disc(float(self.canvas.y[row, 0]), float(self.canvas.x[0, column]), rho)
        return float(score[row, column]), float(contrast[row, column]), disc

    def _edge(self, bright: Field, disc: Disc) -> float:
        """The radius at which brightness falls most steeply, near that of `disc`."""
        used = self.weight > 0.2
        off = np.sqrt(self.canvas.squared(disc.y, disc.x))[used]
        bins = np.linspace(0.5 * disc.radius, 1.7 * disc.radius, 17)
        which = np.digitize(off, bins)
        counts = np.bincount(which, minlength=18)[1:17]
        if (counts == 0).any():
            return disc.radius
        profile = np.bincount(which, bright[used], minlength=18)[1:17] / counts
        slope = np.diff(ndimage.gaussian_filter1d(profile, 1))
        return float(bins[1 + int(slope.argmin())])

    def ground(self, disc: Disc | None, field: float) -> Ground:
        """Least squares, robust, of the blocks outside the disc. field: of the view, in eye units;
        the fovea is looked for where an eye with that disc has it."""
        weight = self.weight * (self.weight > 0.3)
        if disc is None:
            return self._regressed(weight, None, field, 1.0)
        weight = weight * (self.canvas.squared(disc.y, disc.x) > (1.4 * disc.radius) ** 2)
        sides = (1.0, -1.0) if abs(disc.x) < 0.3 else (float(np.sign(disc.x)),)
        best, darkest = self._regressed(weight, None, field, sides[0]), -np.inf
        for nasal, down, aside in product(sides, (-0.02, 0.07, 0.16), (0.60, 0.68, 0.76)):
            place = (disc.y + down / field, disc.x - nasal * aside / field)
            if np.hypot(*place) > 0.93:
                continue
            ground = self._regressed(weight, place, field, nasal)
            assert ground.dark is not None
            if (dark := float(ground.dark.sum(axis=0)[:2].sum())) > darkest:
                best, darkest = ground, dark
        return best

    def _regressed(
        self, weight: Field, fovea: tuple[float, float] | None, field: float, nasal: float
    ) -> Ground:
        canvas = self.canvas
        fields = [np.ones(canvas.shape, np.float32)]
        fields += [
            np.broadcast_to(f, canvas.shape) for f in light_terms(canvas.y, canvas.x * nasal)
        ]
        count = len(fields)
        if fovea is not None:
            squared = canvas.squared(*fovea) * field**2
            fields += [np.exp(-squared / width**2) for width in (MACULA_WIDTH, FOVEA_WIDTH)]
        design = np.stack([f.ravel() for f in fields], axis=1).astype(np.float64)
        values = self.planes.reshape(3, -1).T.astype(np.float64)
        used = weight.ravel() > 0
        trust = weight.ravel()[used].astype(np.float64)
        solved = [_robust(design[used], values[used, c], trust) for c in range(3)]
        solution = np.stack(solved, axis=1)
        fitted = (design @ solution).T.reshape(3, *canvas.shape)
        dark = None if fovea is None else np.maximum(-solution[count:], 0)
        return Ground(solution[:count], dark, nasal, fitted.astype(np.float32))


def _robust(
    design: NDArray[np.float64], values: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Ridge regression with Huber's weights: lesions and glare do not bend the ground."""
    total = weight
    ridge = 1e-3 * max(1.0, float(total.sum())) * np.eye(design.shape[1])
    ridge[0, 0] = 1e-9
    solution: NDArray[np.float64] = np.zeros(design.shape[1])
    for _ in range(4):
        scaled = design * total[:, None]
        solution = np.asarray(np.linalg.solve(design.T @ scaled + ridge, scaled.T @ values))
        left = values - design @ solution
        scale = 1.5 * max(1e-6, float(np.median(np.abs(left)))) if len(left) else 1.0
        total = weight * np.minimum(1, 1.5 * scale / np.maximum(np.abs(left), 1e-9))
    return solution
