"""An invented eye: where disc and fovea are, and the large vessels that leave the disc.

Lengths are in eye units: 1 is the radius of a 45° field of view, about 7.7 radii of the optic
disc. The origin is the centre of the field of view; y points down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Points = NDArray[np.float64]

STEP = 0.012
"""Distance between neighbouring points of a centreline."""
AVASCULAR = 0.13
"""Radius round the fovea that no vessel enters."""
DISC_RADIUS = 0.13
"""Of the optic disc, on average."""
MACULA_WIDTH, FOVEA_WIDTH = 0.26, 0.055
"""Radii at which their darkening has fallen to 37 %."""


@dataclass
class Anatomy:
    """Where things are: disc and fovea (y, x), the disc's radius, the radius of the view."""

    disc: Points
    fovea: Points
    disc_radius: float
    field: float = 1.0

    @property
    def temporal(self) -> Points:
        """Unit vector from the disc to the fovea."""
        way = self.fovea - self.disc
        return way / np.hypot(*way)

    @property
    def nasal(self) -> float:
        """1 if the nose is on the right, else -1."""
        return 1.0 if self.disc[1] > self.fovea[1] else -1.0


def draw_anatomy(rng: np.random.Generator, field: float, disc: tuple[float, float]) -> Anatomy:
    """A left or a right eye. disc: (down, towards the nose) in radii of the field of view."""
    side = rng.choice([-1.0, 1.0])
    place = np.array([disc[0], side * disc[1]]) * field
    fovea = place + np.array([rng.normal(0.07, 0.03), -side * rng.uniform(0.62, 0.74)])
    return Anatomy(place, fovea, DISC_RADIUS * rng.uniform(0.885, 1.115), field)


def trunks(
    anatomy: Anatomy, rng: np.random.Generator, tortuosity: float, height: float, sparse: bool
) -> list[Points]:
    """The vessels that leave the disc, points STEP apart: two arcades, two nasal ones, a few small.

    height: of the arcades over the line from disc to fovea; veins and arteries differ.
    sparse: the arcades alone, for images too small for more.
    """
    usual, out, t = height, [], anatomy.temporal
    for sign in (-1.0, 1.0):
        up = sign * np.array([abs(t[1]), -t[0] * np.sign(t[1])])
        height = usual * rng.uniform(0.9, 1.15)
        ends = rng.uniform(0.25, 0.85) * height
        start = anatomy.disc + anatomy.disc_radius * (0.25 * rng.normal(size=2) * 0.5 - 0.1 * t)
        lean = rng.uniform(0.0, 0.12)
        # Of each point of the arcade: how far up, and how far towards the fovea and beyond.
        ways = [
            (0.0, 0.0),
            (0.30 * height, 0.5 * lean + 0.03),
            (0.62 * height, lean + 0.14),
            (0.88 * height, lean + 0.34),
            (height, lean + rng.uniform(0.58, 0.7)),
            (0.45 * height + 0.55 * ends, lean + 1.15),
            (ends, lean + 1.75),
        ]
        out.append(np.array([start + high * up + far * t for high, far in ways]))
        if sparse:
            continue
        nasal = np.deg2rad(rng.uniform(20, 65))
        way = -np.cos(nasal) * t + np.sin(nasal) * up
        away = -t if rng.random() < 0.5 else up
        steps = (0 * way, 0.2 * way + 0.04 * up, 0.5 * way, 0.9 * way + 0.1 * away)
        out.append(np.array([start + step for step in steps]))
        if rng.random() < 0.6:  # a small one towards the macula
            aim = 0.75 * t + rng.uniform(0.12, 0.25) * up
            out.append(np.array([start, start + 0.12 * t + 0.1 * up, start + 0.6 * aim]))
    return [_curve(ways, 1.05 * anatomy.field, rng, tortuosity) for ways in out]


def _curve(way_points: Points, edge: float, rng: np.random.Generator, tortuosity: float) -> Points:
    """A smooth curve through the way points that ends where it leaves the view, moved sideways by
    smooth noise that vanishes at the origin."""
    chord = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(way_points, axis=0).T))])
    fine = CubicSpline(chord, way_points)(np.linspace(0, chord[-1], 400))
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(fine, axis=0).T))])
    even = np.arange(0, length[-1], STEP)
    points = np.stack([np.interp(even, length, fine[:, k]) for k in (0, 1)], axis=1)
    outside = np.flatnonzero(np.hypot(*points.T) > edge)
    points = points[: outside[0]] if len(outside) and outside[0] > 4 else points
    tangent = np.gradient(points, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / STEP
    ramp = np.minimum(1, np.arange(len(points)) * STEP / 0.3)
    bends = smooth_noise(rng, len(points), 0.3 / STEP) * 0.022
    waves = smooth_noise(rng, len(points), 0.07 / STEP) * 0.0035 * math.sqrt(tortuosity)
    return points + (ramp * (bends + waves))[:, None] * normal


def smooth_noise(rng: np.random.Generator, count: int, period: float) -> Points:
    """[count] of unit variance, smooth over about `period` samples."""
    kernel = _kernel(period / 3)
    # More noise than is asked for, so that the ends vary as much as the middle.
    return np.convolve(rng.normal(size=count + len(kernel) - 1), kernel, mode="valid")


@cache
def _kernel(sigma: float) -> Points:
    """A Gaussian that keeps the variance of white noise."""
    reach = int(4 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(kernel / np.sqrt((kernel**2).sum()))
