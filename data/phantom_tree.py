"""Vessel trees of an invented retina: centrelines that fill space, calibres by Murray's law.

Lengths are in units of the radius of the field of view, whose centre is the origin; y points down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import CubicSpline

Points = NDArray[np.float64]

STEP = 0.012
"""Distance between neighbouring points of a centreline."""
GRID = 56
"""Side of the square of places from which a new branch may be asked for."""
AVASCULAR = 0.13
"""Radius round the fovea that no vessel enters."""


@dataclass
class Branch:
    """points [P, 2] as (y, x) from its origin on; parent and index: the point it leaves from."""

    points: Points
    parent: int | None = None
    index: int = 0
    radius: Points | None = None  # [P], set by `calibre`


@dataclass
class Anatomy:
    """Where things are: disc and fovea (y, x), the disc's radius, and which way the nose is."""

    disc: Points
    fovea: Points
    disc_radius: float

    @property
    def temporal(self) -> Points:
        """Unit vector from the disc to the fovea."""
        way = self.fovea - self.disc
        return way / np.hypot(*way)


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """A posterior pole: fovea near the centre, disc two thirds of a radius to one side."""
    side = rng.choice([-1.0, 1.0])
    fovea = np.array([rng.normal(0.03, 0.05), side * rng.uniform(-0.18, 0.06)])
    disc = fovea + np.array([rng.normal(-0.07, 0.03), -side * rng.uniform(0.62, 0.74)])
    return Anatomy(disc, fovea, rng.uniform(0.115, 0.145))


class Tree:
    """One tree, arteries or veins, grown from trunks by filling its emptiest places."""

    def __init__(
        self,
        anatomy: Anatomy,
        rng: np.random.Generator,
        tortuosity: float,
        spread: float,
        sparse: bool,
    ) -> None:
        self.anatomy, self.rng, self.tortuosity = anatomy, rng, tortuosity
        self.branches: list[Branch] = []
        self._points = np.empty((0, 2))  # of all branches, with headings and owners beside
        self._headings = np.empty((0, 2))
        self._owners = np.empty((0, 2), dtype=int)
        axis = np.linspace(-1.02, 1.02, GRID)
        y, x = np.meshgrid(axis, axis, indexing="ij")
        places = np.stack([y.ravel(), x.ravel()], axis=1)
        inside = np.hypot(*places.T) < 1.02
        inside &= np.hypot(*(places - anatomy.fovea).T) > AVASCULAR * 1.1
        inside &= np.hypot(*(places - anatomy.disc).T) > anatomy.disc_radius * 1.3
        self.places: Points = places[inside]
        self.emptiness = np.full(len(self.places), np.inf)  # distance to this tree
        for trunk in _trunks(anatomy, rng, spread, sparse):
            self._add(Branch(_wobbled(_resampled(trunk), rng, tortuosity)))

    def grow(self, avoid: Tree | None = None) -> bool:
        """Add one branch towards an empty place, far from this tree and from `avoid`."""
        score = self.emptiness.copy()
        if avoid is not None:
            score = np.minimum(score, 2.5 * avoid.emptiness) + 0.2 * score
        candidates = self.rng.choice(len(self.places), size=24, replace=False)
        target = self.places[candidates[score[candidates].argmax()]]
        target = target + self.rng.normal(0, 0.01, 2)
        origin = self._origin(target)
        if origin is None:
            return False
        parent, index = self._owners[origin]
        path = self._path(self._points[origin], self._headings[origin], target)
        path = path[: self._free_length(path)]
        chord = np.hypot(*(path[-1] - path[0]))
        if len(path) < 5 or (len(path) - 1) * STEP > 1.3 * chord:
            return False
        self._add(Branch(path, int(parent), int(index)))
        return True

    def _origin(self, target: Points) -> int | None:
        """The point from which a branch would reach `target` with little turning back."""
        way = target - self._points
        distance = np.hypot(*way.T)
        cosine = (way * self._headings).sum(1) / np.maximum(distance, 1e-9)
        # Branches leave at 25 to 75 degrees: straight on or backwards would look wrong.
        penalty = 1 + 1.5 * np.abs(cosine - 0.65)
        near_disc = np.hypot(*(self._points - self.anatomy.disc).T) < self.anatomy.disc_radius
        wrong = (distance < 0.035) | (cosine < 0.2)
        cost = distance * penalty + 0.3 * near_disc + np.where(wrong, 9.0, 0.0)
        best = int(cost.argmin())
        return best if cost[best] < 9.0 else None

    def _path(self, start: Points, heading: Points, target: Points) -> Points:
        """A walk that leaves at an angle, bends towards the target and keeps out of the fovea."""
        way = target - start
        angle = np.arctan2(heading[0], heading[1])
        aim = (np.arctan2(way[0], way[1]) - angle + np.pi) % (2 * np.pi) - np.pi
        turn = np.clip(np.abs(aim) + self.rng.normal(0, 0.15), np.deg2rad(18), np.deg2rad(65))
        angle += np.sign(aim) * turn
        steps = int(1.6 * np.hypot(*way) / STEP) + 3
        bend = 1.6 * _smooth_noise(self.rng, steps, 0.16 / STEP)
        bend += 3.5 * _smooth_noise(self.rng, steps, 0.045 / STEP)
        bend *= self.tortuosity
        points = [start]
        for k in range(steps):
            here = points[-1]
            way = target - here
            left = np.hypot(*way)
            if left < STEP or np.hypot(*here) > 1.04:
                break
            wanted = np.arctan2(way[0], way[1])
            error = (wanted - angle + np.pi) % (2 * np.pi) - np.pi
            angle += STEP * (np.clip(error / max(left, 0.12), -6, 6) + bend[k])
            here = here + STEP * np.array([np.sin(angle), np.cos(angle)])
            off = here - self.anatomy.fovea
            if np.hypot(*off) < AVASCULAR:
                break
            points.append(here)
        return np.array(points)

    def _free_length(self, path: Points) -> int:
        """How many points of a new branch come before it would meet its own tree again."""
        gaps = np.hypot(path[:, :1] - self._points[:, 0], path[:, 1:] - self._points[:, 1]).min(
            axis=1
        )
        clear = np.maximum.accumulate(gaps)  # it has to leave its parent first
        meets = np.flatnonzero((gaps < 0.022) & (clear > 0.03))
        return int(meets[0]) if len(meets) else len(path)

    def _add(self, branch: Branch) -> None:
        points = branch.points
        number = len(self.branches)
        self.branches.append(branch)
        headings = np.gradient(points, axis=0)
        headings /= np.maximum(np.hypot(*headings.T)[:, None], 1e-9)
        owners = np.stack([np.full(len(points), number), np.arange(len(points))], axis=1)
        self._points = np.concatenate([self._points, points])
        self._headings = np.concatenate([self._headings, headings])
        self._owners = np.concatenate([self._owners, owners])
        gaps = np.hypot(
            self.places[:, :1] - points[::2, 0], self.places[:, 1:] - points[::2, 1]
        )  # [places, points]
        self.emptiness = np.minimum(self.emptiness, gaps.min(axis=1))

    def calibre(self, tip: float, growth: float) -> None:
        """Set every branch's radius: Murray's law made continuous, radius³ = tip³ + growth × the
        length of all vessels downstream."""
        downstream = [np.arange(len(b.points), 0, -1) * STEP for b in self.branches]
        for number in range(len(self.branches) - 1, -1, -1):  # children come after parents
            branch = self.branches[number]
            if branch.parent is not None:
                downstream[branch.parent][: branch.index + 1] += downstream[number][0]
        for branch, length in zip(self.branches, downstream, strict=True):
            branch.radius = np.cbrt(tip**3 + growth * length)

    def area(self, least_radius: float) -> float:
        """Of all vessels within the field of view, overlaps counted twice; radii at least that."""
        total = 0.0
        for branch in self.branches:
            assert branch.radius is not None
            visible = np.hypot(*branch.points.T) < 1
            total += float((2 * np.maximum(branch.radius, least_radius) * STEP)[visible].sum())
        return total


def _trunks(
    anatomy: Anatomy, rng: np.random.Generator, spread: float, sparse: bool
) -> list[Points]:
    """Way points of the vessels that leave the disc: two arcades, two nasal ones, a few small.

    spread: height of the arcades over the line from disc to fovea; veins and arteries differ.
    sparse: the arcades alone, for images too small for more.
    """
    out, t = [], anatomy.temporal
    for sign in (-1.0, 1.0):
        up = sign * np.array([abs(t[1]), -t[0] * np.sign(t[1])])
        height = spread * rng.uniform(0.9, 1.15)
        ends = rng.uniform(0.25, 0.85) * height
        start = anatomy.disc + anatomy.disc_radius * (0.25 * rng.normal(size=2) * 0.5 - 0.1 * t)
        lean = rng.uniform(0.0, 0.12)
        out.append(
            np.array(
                [
                    start,
                    start + (0.30 * height) * up + (0.5 * lean + 0.03) * t,
                    start + (0.62 * height) * up + (lean + 0.14) * t,
                    start + (0.88 * height) * up + (lean + 0.34) * t,
                    start + height * up + (lean + rng.uniform(0.58, 0.7)) * t,
                    start + (0.45 * height + 0.55 * ends) * up + (lean + 1.15) * t,
                    start + ends * up + (lean + 1.75) * t,
                ]
            )
        )
        if sparse:
            continue
        nasal = np.deg2rad(rng.uniform(20, 65))
        way = -np.cos(nasal) * t + np.sin(nasal) * up
        away = -t if rng.random() < 0.5 else up
        out.append(
            np.array(
                [
                    start,
                    start + 0.2 * way + 0.04 * up,
                    start + 0.5 * way,
                    start + 0.9 * way + 0.1 * away,
                ]
            )
        )
        if rng.random() < 0.6:  # a small one towards the macula
            aim = 0.75 * t + rng.uniform(0.12, 0.25) * up
            out.append(np.array([start, start + 0.12 * t + 0.1 * up, start + 0.6 * aim]))
    return out


def _resampled(way_points: Points) -> Points:
    """A smooth curve through the way points, points STEP apart, ending at the edge of the field."""
    chord = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(way_points, axis=0).T))])
    fine = CubicSpline(chord, way_points)(np.linspace(0, chord[-1], 400))
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(fine, axis=0).T))])
    even = np.arange(0, length[-1], STEP)
    points = np.stack([np.interp(even, length, fine[:, k]) for k in (0, 1)], axis=1)
    outside = np.flatnonzero(np.hypot(*points.T) > 1.05)
    return points[: outside[0]] if len(outside) and outside[0] > 4 else points


def _wobbled(points: Points, rng: np.random.Generator, tortuosity: float) -> Points:
    """Moved sideways by smooth noise that vanishes at the origin."""
    tangent = np.gradient(points, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / STEP
    ramp = np.minimum(1, np.arange(len(points)) * STEP / 0.3)
    coarse = _smooth_noise(rng, len(points), 0.3 / STEP) * 0.02
    fine = _smooth_noise(rng, len(points), 0.07 / STEP) * 0.003
    return points + (tortuosity * ramp * (coarse + fine))[:, None] * normal


def _smooth_noise(rng: np.random.Generator, count: int, period: float) -> Points:
    """[count] of unit variance, smooth over about `period` samples."""
    sigma = period / 3
    pad = int(4 * sigma) + 1  # so that the ends vary as much as the middle
    smooth = ndimage.gaussian_filter1d(rng.normal(size=count + 2 * pad), sigma)[pad:-pad]
    return np.asarray(smooth * np.sqrt(2 * np.sqrt(np.pi) * sigma))


def grow_trees(
    anatomy: Anatomy, rng: np.random.Generator, share: float, least_radius: float
) -> tuple[Tree, Tree]:
    """(arteries, veins) that together cover about `share` of the field of view.

    least_radius: of a vessel that can be drawn, half a pixel or a little more.
    """
    tortuosity = rng.uniform(0.6, 1.5)
    sparse = least_radius > 0.012
    arteries = Tree(anatomy, rng, tortuosity, rng.uniform(0.47, 0.56), sparse)
    veins = Tree(anatomy, rng, tortuosity * 0.9, rng.uniform(0.52, 0.64), sparse)
    tip, width = rng.uniform(0.0027, 0.0036), rng.uniform(0.8, 1.25)
    overlap = 0.93  # crossings and branch origins are covered twice
    for number in range(400):
        if number % 4 == 0:
            arteries.calibre(tip * 0.9, 1.7e-7 * width)
            veins.calibre(tip, 3.1e-7 * width)
            covered = arteries.area(least_radius) + veins.area(least_radius)
            if overlap * covered > share * np.pi:
                break
        first, second = (arteries, veins) if number % 2 else (veins, arteries)
        first.grow(avoid=second)
    return arteries, veins
