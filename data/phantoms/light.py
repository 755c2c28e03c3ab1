"""How an invented retina is coloured, lit and photographed.

Planes [3, H, W] are red, green, blue on the scale log(I + DARK). What is smooth is made at a
quarter of the resolution: five times as fast, and the difference cannot be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vesselforge.data.phantoms.anatomy import FOVEA_WIDTH, MACULA_WIDTH, Anatomy
from vesselforge.data.phantoms.appearance import DARK, GRAIN_PX, TEXTURE_CELLS, Look, Triple
from vesselforge.data.phantoms.canvas import Canvas, Field, Network, enlarged

COARSE = 4
"""Pixels to a pixel of the smooth part."""
WHITE = np.log(1 + DARK)
"""Full intensity."""
ARTERY, VEIN = (0.83, 1.25), (1.17, 0.75)
"""Absorption of their blood, and the light along their middle, relative to the mean of both."""
PIGMENT = np.array([0.5, 1.0, 1.05], dtype=np.float32)
"""How strongly melanin, macular pigment and nerve fibres show in each channel."""


@dataclass(frozen=True)
class Scene:
    """What is to be photographed, fov [H, W]; vessels: of each network the absorption of its blood,
    and the light along its middle, relative."""

    canvas: Canvas
    anatomy: Anatomy
    vessels: Sequence[tuple[Network, float, float]]
    fov: NDArray[np.bool_]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """[H, W] vessels in the field of view."""
        return np.any([network.mask for network, *_ in self.vessels], axis=0) & self.fov


def photograph(scene: Scene, look: Look, rng: np.random.Generator) -> NDArray[np.uint8]:
    """[H, W, 3] of a scene."""
    canvas = scene.canvas
    smooth, whole = (_View(c, look, scene.anatomy, rng) for c in (canvas.coarser(COARSE), canvas))
    smooth.draw_ground()
    for plane, small in zip(whole.planes, smooth.planes, strict=True):
        plane[:] = enlarged(small, canvas.shape, COARSE)
    for cell, sd, mix in whole.textures():
        if cell < COARSE:
            whole.add_noise(cell, sd, mix)
    whole.draw_spots()
    whole.draw_disc()
    whole.draw_vessels(scene.vessels)
    for cell, sd, mix in zip(GRAIN_PX, look.grain, look.grain_mix, strict=True):
        whole.add_noise(cell, sd, mix)
    return whole.exposed(scene.fov)


def light_terms(y: Field, x: Field) -> list[Field]:
    """The fields that `Look.light` weighs: powers, y down and x towards the nose, and r^10 times 1,
    y, x; the latter are flat where nothing is measured, beyond 0.97."""
    rim = np.minimum(y**2 + x**2, 0.97**2) ** 5
    return [y, x, y**2, y * x, x**2, y**3, y**2 * x, y * x**2, x**3, rim, rim * y, rim * x]


class _View:
    """planes [3, H, W] on a canvas. Disc and fovea as (y, x), unit, the disc's radius: in radii of
    the field of view."""

    def __init__(
        self, canvas: Canvas, look: Look, anatomy: Anatomy, rng: np.random.Generator
    ) -> None:
        self.canvas, self.look, self.anatomy, self.rng = canvas, look, anatomy, rng
        self.planes: Field = np.zeros((3, *canvas.shape), dtype=np.float32)
        self.disc, self.fovea = anatomy.disc / anatomy.field, anatomy.fovea / anatomy.field
        self.unit = anatomy.disc_radius / anatomy.field

    def from_disc(self) -> tuple[Field, Field]:
        """y [H, 1] and x [1, W] from the disc's centre."""
        y, x = self.disc.astype(np.float32)
        return self.canvas.y - y, self.canvas.x - x

    def textures(self) -> list[tuple[float, Triple, Triple]]:
        """(cell in pixels, standard deviations, their correlations) of the ground's texture."""
        cells = (cell * self.canvas.radius for cell in TEXTURE_CELLS)
        return list(zip(cells, self.look.texture, self.look.texture_mix, strict=True))

    def add_noise(self, cell: float, sd: Triple, mix: Triple) -> None:
        """Noise with cells of so many pixels, standard deviations and correlations."""
        if max(sd) > 0:
            noises = self.canvas.noises(cell, _root(sd, mix), self.rng)
            for plane, noise in zip(self.planes, noises, strict=True):
                plane += noise

    def draw_ground(self) -> None:
        """The retina without vessels and disc, and its light: all that has no sharp edge."""
        canvas, look, rng = self.canvas, self.look, self.rng
        self.planes += _column(np.sum([look.colour, look.pigment, look.brightness], axis=0))
        if look.light:
            terms = light_terms(canvas.y, canvas.x * self.anatomy.nasal)
            for term, weights in zip(terms, look.light, strict=True):
                self.planes += term * _column(weights)
        for cell, sd, mix in self.textures():
            if cell >= COARSE:
                self.add_noise(cell, sd, mix)
        # The large vessels behind the retina: vague broad bands, ridges of a noise, and a network
        # of broad lines, all dark or all bright, where a noise changes its sign.
        bands = canvas.noise(canvas.radius * 0.15, rng)
        bands = bands + 0.5 * canvas.noise(canvas.radius * 0.35, rng)
        stripes = np.asarray(1 - np.abs(bands) * 1.25, dtype=np.float32)
        shade = look.stripes * stripes + look.fibres * self.fibres()
        if look.streaks:
            noises = [canvas.noise(canvas.radius * 0.25, rng) for _ in range(2)]
            lines = sum(np.exp(-((noise / 0.2) ** 2)) for noise in noises)
            shade += look.streaks * np.asarray(lines * rng.choice([-1.0, 1.0]), dtype=np.float32)
        self.planes += shade * PIGMENT[:, None, None]
        self.planes += self.illumination()
        self.draw_macula()

    def illumination(self) -> Field:
        """[H, W] uneven light: a hill somewhere, darker towards the rim, clouds."""
        canvas, look, rng = self.canvas, self.look, self.rng
        spot_y, spot_x = rng.normal(0, 0.3, 2)
        shade = canvas.squared(spot_y, spot_x) * np.float32(-look.falloff / 2)
        rim = np.minimum(canvas.squared(), 1.44) ** np.float32(rng.uniform(1.5, 3))
        shade += np.log1p(-np.minimum(look.vignette * rim, 0.9))
        shade += look.cloud * canvas.noise(canvas.radius * 0.7, rng)
        return shade

    def fibres(self) -> Field:
        """[H, W] rays of nerve fibres, brightest above and below the disc."""
        y, x = self.from_disc()
        off = np.sqrt(y**2 + x**2) / self.unit
        angle = np.arctan2(y, x)
        values = ndimage.gaussian_filter1d(self.rng.normal(size=181), 1.2, mode="wrap")
        values[-1] = values[0]
        rays = np.interp(angle, np.linspace(-np.pi, np.pi, 181), values / values.std())
        fade = np.exp(-(((off - 1) / 2.2) ** 2)) * np.abs(np.sin(angle))
        return np.asarray(rays * fade, dtype=np.float32)

    def draw_macula(self) -> None:
        """Darken the macula, and the fovea in its middle; brighten the ground round the disc."""
        look, field = self.look, self.anatomy.field
        squared = self.canvas.squared(*self.fovea.tolist()) * field**2  # in eye units
        widths = (MACULA_WIDTH * self.rng.uniform(0.77, 1.23), FOVEA_WIDTH)
        for depths, width in zip((look.macula, look.fovea), widths, strict=True):
            self.planes -= np.exp(-squared / np.float32(width**2)) * _column(depths)
        halo = np.sqrt(self.canvas.squared(*self.disc.tolist()))
        halo = np.maximum(halo * (field / self.anatomy.disc_radius) - 1, 0)
        glow = np.exp(-halo / np.float32(self.rng.uniform(0.25, 0.6))) * look.halo
        self.planes += glow * _column(look.disc)

    def draw_spots(self) -> None:
        """Bleedings and bright deposits, in every second retina or so; where they are many they are
        larger, too, and come in clusters."""
        canvas, rng, many = self.canvas, self.rng, self.look.spots
        for sign, most in ((-1.0, 8), (1.0, 15)):
            count = rng.poisson(most * many) if rng.random() < 0.5 * many else 0
            y, x = rng.uniform(-0.75, 0.75, 2)
            for _ in range(count):
                near = many > 1 and rng.random() < 0.6
                step, place = rng.normal(0, 0.05, 2), rng.uniform(-0.75, 0.75, 2)
                y, x = (y + step[0], x + step[1]) if near else place
                size = rng.uniform(0.006, 0.02) * (1 if sign > 0 else 1.3)
                size *= 1 + (rng.exponential(0.6) if many > 1 else 0)
                strength = sign * rng.uniform(0.1, 0.4)
                rows, columns = canvas.window(y, x, 2.5 * size)
                squared = (canvas.y[rows] - y) ** 2 + (canvas.x[:, columns] - x) ** 2
                shade = strength * np.exp(-((squared / size**2) ** 1.5))
                self.planes[:, rows, columns] += shade * _column((0.3, 1.0, 0.8))

    def draw_disc(self) -> None:
        """The optic disc: a pale plate with a soft, uneven rim, and a paler cup inside."""
        look, rng = self.look, self.rng
        y, x = self.from_disc()
        middle_y, middle_x = self.disc.tolist()
        rows, columns = self.canvas.window(middle_y, middle_x, 1.6 * self.unit)
        dy, dx = y[rows] / self.unit, x[:, columns] / self.unit
        edge = 1 + 0.05 * np.sin(2 * np.arctan2(dy, dx) + rng.uniform(0, 6))
        plate = _soft(edge - np.hypot(dy / 1.08, dx), 0.08)
        shift = 0.18 * self.anatomy.temporal + rng.normal(0, 0.05, 2)
        cup = _soft(rng.uniform(0.35, 0.58) - np.hypot(dy - shift[0], dx - shift[1]), 0.12)
        left = 1 - look.halo  # the halo is there already
        window = self.planes[:, rows, columns]
        window += plate * left * _column(look.disc) + cup * _column(look.cup)
        np.minimum(window, WHITE, out=window)  # or vessels would not show on an overexposed disc

    def draw_vessels(self, vessels: Sequence[tuple[Network, float, float]]) -> None:
        """Blood absorbs by its thickness: light from the tissue in front and around fills the
        widest vessels. Arteries hold less dark blood and shine along the middle."""
        canvas, look = self.canvas, self.look
        damped, shine = np.zeros((2, *canvas.shape), dtype=np.float32)
        per_pixel = np.float32(-1 / (look.thickness * canvas.radius))
        for network, absorbing, shining in vessels:
            damped += absorbing * (1 - np.exp(network.depth * per_pixel))
            shine += shining * network.light
        uneven = 1 + look.variation * canvas.noise(canvas.radius * 0.3, self.rng)
        damped *= np.maximum(uneven, 0.5)
        damped, shine = (blurred(one, look.blur * canvas.radius) for one in (damped, shine))
        off = canvas.squared(*self.disc.tolist()) / np.float32(0.5 * self.unit**2)
        damped *= 1 - 0.35 * np.exp(-off)
        for plane, dark, bright in zip(self.planes, look.vessel, look.reflex, strict=True):
            plane -= damped * np.float32(dark)
            plane += shine * np.float32(bright)

    def exposed(self, fov: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """[H, W, 3] with stray light, the aperture and the dark surround; 8 bits."""
        planes, canvas, look, rng = self.planes, self.canvas, self.look, self.rng
        np.exp(np.minimum(planes, 1, out=planes), out=planes)  # 1: far beyond white
        planes -= DARK
        coarse = canvas.coarser(COARSE)
        # Light scattered at the rim of the pupil: a greenish or yellowish crescent on one side.
        way = rng.normal(size=2)
        side = (coarse.y * way[0] + coarse.x * way[1]) / np.hypot(*way)
        rim = look.rim * np.minimum(coarse.squared(), 1) ** 3 * np.maximum(0.4 + side, 0)
        haze = look.haze * (1 + 0.6 * coarse.noise(canvas.radius, rng))
        for stray, tint in ((rim, (0.5, 1.0, 0.45)), (haze, (0.6, 0.8, 0.6))):
            if stray.any():
                large = enlarged(stray.astype(np.float32), canvas.shape, COARSE)
                planes += large * _column(tint)
        np.clip(planes, 0, 1, out=planes)
        for plane, gamma in zip(planes, look.gamma, strict=True):
            if gamma != 1:
                np.power(plane, np.float32(gamma), out=plane)
        aperture = blurred(fov.astype(np.float32), 0.6)
        dark = np.abs(canvas.noise(1, rng)) * np.float32(0.006)
        for plane, level in zip(planes, look.surround, strict=True):
            plane -= dark + np.float32(level)
            plane *= aperture
            plane += dark + np.float32(level)
        planes *= 255
        planes += 0.5
        return np.ascontiguousarray(np.clip(planes, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def blurred(field: Field, sigma: float) -> Field:
    """By the camera; sigma in pixels, at least 0.45, about what a pixel's own area does."""
    return np.asarray(ndimage.gaussian_filter(field, max(0.45, sigma), truncate=3))


def _root(sd: Triple, mix: Triple) -> NDArray[np.float64]:
    """[3, 3] lower triangular, root · rootᵀ the covariance; mix as in `Look`."""
    matrix = np.eye(3)
    matrix[[0, 1, 0], [1, 2, 2]] = matrix[[1, 2, 2], [0, 1, 0]] = mix
    values, vectors = np.linalg.eigh(matrix)  # measured correlations need not be consistent
    nearest = (vectors * np.maximum(values, 1e-4)) @ vectors.T
    nearest /= np.sqrt(np.outer(np.diag(nearest), np.diag(nearest)))
    return np.asarray(np.maximum(sd, 0)[:, None] * np.linalg.cholesky(nearest))


def _column(values: object) -> Field:
    """Three numbers that go with three planes."""
    return np.asarray(values, dtype=np.float32)[:, None, None]


def _soft(inside: NDArray[np.floating], width: float) -> Field:
    """0 outside, 1 inside, a smooth edge `width` wide."""
    return np.asarray(1 / (1 + np.exp(-np.clip(inside / width * 2.2, -30, 30))), dtype=np.float32)
