"""How an invented retina is coloured, lit and photographed. Fields [H, W], colours [H, W, 3]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.phantom_tree import Anatomy

Field = NDArray[np.float32]


def ground(y: Field, x: Field, r: Field, anatomy: Anatomy, rng: np.random.Generator) -> Field:
    """The retina without vessels: choroid, macula, nerve fibres, disc with cup. In about 0..1."""
    size = r.shape[0]
    pigment = rng.uniform(0, 1)
    red = rng.uniform(0.68, 0.98)
    base = np.array(
        [red, red * (0.6 - 0.2 * pigment), red * (0.32 - 0.16 * pigment) + rng.uniform(0, 0.06)]
    )
    texture = 0.55 * noise(size, 5, rng) + 0.3 * noise(size, 11, rng) + 0.25 * noise(size, 24, rng)
    stripes = choroid(y, x, size, rng)
    grain = noise(size, min(size // 2, 70), rng)
    shade = 0.04 * texture + rng.uniform(0.015, 0.05) * stripes + 0.02 * grain
    colour = base.astype(np.float32) * np.exp(
        shade[..., None] * np.array([0.6, 1.25, 1.3], dtype=np.float32)
    )

    off_fovea = np.hypot(y - anatomy.fovea[0], x - anatomy.fovea[1])
    macula = np.exp(-((off_fovea / rng.uniform(0.2, 0.32)) ** 2)) * rng.uniform(0.15, 0.45)
    macula += np.exp(-((off_fovea / 0.055) ** 2)) * rng.uniform(0.05, 0.25)
    colour *= np.exp(-macula[..., None] * np.array([0.45, 1.0, 0.9], dtype=np.float32))

    colour *= _spots(y, x, rng)

    dy, dx = y - anatomy.disc[0], x - anatomy.disc[1]
    off_disc = np.hypot(dy / 1.08, dx) / anatomy.disc_radius
    angle = np.arctan2(dy, dx)
    rays = np.interp(angle, np.linspace(-np.pi, np.pi, 181), _periodic(181, rng))
    fibres = rays * np.exp(-(((off_disc - 1) / 2.2) ** 2)) * np.abs(np.sin(angle))
    colour *= 1 + (rng.uniform(0.01, 0.05) * fibres)[..., None] * np.array([0.5, 1, 1])
    colour = _disc(colour, off_disc, dy, dx, anatomy, rng)
    return colour.astype(np.float32)


def _spots(y: Field, x: Field, rng: np.random.Generator) -> Field:
    """[H, W, 3] factors: small bleedings and bright deposits, in every second retina or so."""
    shade = np.zeros(np.broadcast_shapes(y.shape, x.shape), dtype=np.float32)
    for sign, most in ((-1.0, 16), (1.0, 30)):
        for _ in range(rng.integers(0, most) if rng.random() < 0.5 else 0):
            where = rng.uniform(-0.75, 0.75, 2)
            size = rng.uniform(0.006, 0.02) * (1 if sign > 0 else 1.3)
            distance = ((y - where[0]) ** 2 + (x - where[1]) ** 2) / size**2
            shade += sign * rng.uniform(0.1, 0.4) * np.exp(-(np.minimum(distance, 30) ** 1.5))
    return np.asarray(np.exp(shade[..., None] * np.array([0.3, 1.0, 0.8])), dtype=np.float32)


def _disc(
    colour: Field, off: Field, dy: Field, dx: Field, anatomy: Anatomy, rng: np.random.Generator
) -> Field:
    """The optic disc: a pale plate with a soft, uneven rim, a halo, and a paler cup inside."""
    edge = 1 + 0.05 * np.sin(2 * np.arctan2(dy, dx) + rng.uniform(0, 6))
    plate = _soft(np.asarray(edge - off, dtype=np.float32), 0.10)
    halo = np.exp(-np.maximum(off - 1, 0) / rng.uniform(0.25, 0.6)) * rng.uniform(0.05, 0.22)
    red = float(np.median(colour[..., 0]))
    tone = np.array(
        [red * 1.12 + 0.06, red * rng.uniform(0.78, 0.92), red * rng.uniform(0.42, 0.6)]
    )
    shift = 0.18 * anatomy.temporal + rng.normal(0, 0.05, 2)
    cup_off = np.hypot(dy / anatomy.disc_radius - shift[0], dx / anatomy.disc_radius - shift[1])
    cup = _soft(rng.uniform(0.35, 0.58) - cup_off, 0.12)
    pale = tone * (1 + 0.22 * cup[..., None] * np.array([0.25, 0.8, 1.1]))
    weight = np.clip(plate * rng.uniform(0.72, 0.95) + halo * (1 - plate), 0, 1)[..., None]
    return np.asarray(colour * (1 - weight) + pale * weight, dtype=np.float32)


def vessels(
    colour: Field,
    arteries: Field,
    veins: Field,
    off_disc: Field,
    radius_px: float,
    rng: np.random.Generator,
) -> Field:
    """Blood absorbs by its thickness; arteries hold less dark blood and shine along the middle."""
    thick = 0.045 * radius_px  # pixels in which light is damped by the factor e, green
    dark = rng.uniform(0.7, 1.2)
    # Thickness saturates: light from the tissue in front and around fills the widest vessels.
    a, v = (1.3 * (1 - np.exp(-depth / (1.3 * thick))) for depth in (arteries, veins))
    absorbed = dark * (0.78 * a + 1.1 * v)
    absorbed *= 1 - 0.35 * np.exp(-(off_disc**2) / 0.5)
    absorbed *= 1 + 0.22 * noise(colour.shape[0], 7, rng)
    colour = colour * np.exp(-absorbed[..., None] * np.array([0.34, 1.0, 0.75], dtype=np.float32))
    widest = max(1e-6, float(arteries.max()))
    reflex = np.clip(arteries / widest - 0.45, 0, 1) ** 2 * rng.uniform(0.2, 0.6)
    return np.asarray(colour + reflex[..., None] * np.array([0.5, 0.4, 0.25]), dtype=np.float32)


def expose(
    colour: Field, r: Field, y: Field, x: Field, radius_px: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Uneven light, blur, sensor noise, the dark surround; 8 bits."""
    size = r.shape[0]
    spot = rng.normal(0, 0.3, 2)
    light = 1 - rng.uniform(0.1, 0.35) * ((y - spot[0]) ** 2 + (x - spot[1]) ** 2) / 2
    light *= 1 - rng.uniform(0.1, 0.45) * np.clip(r, 0, 1.2) ** rng.uniform(3, 6)
    light *= 1 + 0.06 * noise(size, 3, rng)
    # Light scattered at the rim of the pupil: a greenish or yellowish crescent on one side.
    way = rng.normal(size=2)
    side = (y * way[0] + x * way[1]) / np.hypot(*way)
    rim = rng.uniform(0, 0.16) * np.clip(r, 0, 1) ** 6 * np.clip(0.4 + side, 0, None)
    haze = rng.uniform(0.0, 0.07) * (1 + 0.6 * noise(size, 2, rng))
    seen = colour * light[..., None] + haze[..., None] * np.array([0.6, 0.8, 0.6])
    seen = seen + rim[..., None] * np.array([0.5, 1.0, 0.45])
    blur = max(0.45, rng.uniform(0.0022, 0.0034) * radius_px)
    seen = ndimage.gaussian_filter(seen, (blur, blur, 0))
    signal = np.sqrt(np.clip(seen, 0.02, None))
    shot = rng.normal(size=seen.shape).astype(np.float32)
    coarse = ndimage.gaussian_filter(rng.normal(size=seen.shape), (0.8, 0.8, 0)) * 2
    strength = rng.uniform(0.012, 0.026)
    seen = seen + strength * signal * (0.6 * shot + 0.8 * coarse)
    aperture = _soft((1 - r) * radius_px, 0.6)[..., None]
    surround = np.abs(rng.normal(0.0, 0.006, seen.shape)) + 0.004
    seen = np.clip(seen, 0.0, 1.0) * aperture + surround * (1 - aperture)
    return np.asarray(np.clip(seen * 255 + 0.5, 0, 255), dtype=np.uint8)


def noise(size: int, cells: int, rng: np.random.Generator) -> Field:
    """[size, size] of about unit variance, smooth over size / cells pixels."""
    knots = rng.normal(size=(cells + 3, cells + 3))
    where = np.linspace(1, cells + 1, size)
    grid = np.meshgrid(where, where, indexing="ij")
    return np.asarray(
        ndimage.map_coordinates(knots, grid, order=3, mode="mirror") * 1.3, dtype=np.float32
    )


def choroid(y: Field, x: Field, size: int, rng: np.random.Generator) -> Field:
    """Vague broad bands, the large vessels behind the retina: ridges of a warped noise."""
    bands = noise(size, 14, rng) + 0.5 * noise(size, 6, rng)
    return np.asarray(1 - np.abs(bands) * 1.25, dtype=np.float32)


def _soft(inside: Field, width: float) -> Field:
    """0 outside, 1 inside, a smooth edge `width` wide."""
    return np.asarray(1 / (1 + np.exp(-np.clip(inside / width * 2.2, -30, 30))), dtype=np.float32)


def _periodic(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    values = rng.normal(size=count)
    smooth = ndimage.gaussian_filter1d(values, 1.2, mode="wrap")
    smooth[-1] = smooth[0]
    return np.asarray(smooth / smooth.std())
