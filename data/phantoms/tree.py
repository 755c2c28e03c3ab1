"""Vessel trees of an invented retina: centrelines that fill space, calibres by Murray's law.

Lengths are in the eye units of `data.phantoms.anatomy`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesselforge.data.phantoms.anatomy import AVASCULAR, STEP, Anatomy, Points, smooth_noise, trunks
from vesselforge.data.phantoms.appearance import Look

SPACING = 0.037
"""Distance between neighbouring places from which a new branch may be asked for."""
ARTERY_RADIUS, VEIN_RADIUS = 0.0095, 0.0116
"""Of trunks that feed or drain TRUNK_LENGTH of vessels."""
TRUNK_LENGTH = 5.0
MOST_BRANCHES = 400
"""Attempts to add one; a 45° field at DRIVE's share of vessels takes about 90."""


@dataclass
class Branch:
    """points [P, 2] as (y, x) from its origin on; parent and index: the point it leaves from."""

    points: Points
    parent: int | None = None
    index: int = 0
    radius: Points | None = None  # [P], set by `calibre`


class Tree:
    """One tree, arteries or veins, grown from trunks by filling its emptiest places."""

    def __init__(
        self,
        anatomy: Anatomy,
        rng: np.random.Generator,
        tortuosity: float,
        height: float,
        sparse: bool,
    ) -> None:
        self.anatomy, self.rng, self.tortuosity = anatomy, rng, tortuosity
        self.branches: list[Branch] = []
        self._starts: list[int] = []  # of the branches, among all points
        self._points, self._headings = np.empty((2, 0, 2))
        self.places = _places(anatomy)
        self.emptiness = np.full(len(self.places), np.inf, np.float32)  # distance to this tree
        for trunk in trunks(anatomy, rng, tortuosity, height, sparse):
            self._add(Branch(trunk))

    def grow(self, avoid: Tree) -> None:
        """Add one branch towards an empty place, far from this tree and from `avoid`, if one that
        is not too short or winding leads there."""
        chosen = self.rng.choice(len(self.places), size=24, replace=False)
        own, other = self.emptiness[chosen], avoid.emptiness[chosen]
        score = np.minimum(own, 2.5 * other) + 0.2 * own
        target = self.places[chosen[score.argmax()]] + self.rng.normal(0, 0.01, 2)
        origin = self._origin(target)
        if origin is None:
            return
        parent = bisect_right(self._starts, origin) - 1
        index = origin - self._starts[parent]
        tip = index >= len(self.branches[parent].points) - 2
        path = self._path(self._points[origin], self._headings[origin], target, tip)
        path = path[: self._free_length(path)]
        chord = np.hypot(*(path[-1] - path[0]))
        if len(path) >= 5 and (len(path) - 1) * STEP <= 1.3 * chord:
            self._add(Branch(path, parent, index))

    def _origin(self, target: Points) -> int | None:
        """The point from which a branch would reach `target` with little turning back."""
        (y, x), (heading_y, heading_x) = target[:, None] - self._points.T, self._headings.T
        distance = np.sqrt(y**2 + x**2)
        cosine = (y * heading_y + x * heading_x) / np.maximum(distance, 1e-9)
        # Branches leave at 20 to 60 degrees: straight on or backwards would look wrong.
        penalty = 1 + 1.5 * np.abs(cosine - 0.75)
        wrong = (distance < 0.035) | (cosine < 0.2)
        on_disc = np.hypot(*(self._points - self.anatomy.disc).T) < self.anatomy.disc_radius
        cost = distance * penalty + 0.3 * on_disc + 9.0 * wrong
        best = int(cost.argmin())
        return best if cost[best] < 9.0 else None

    def _path(self, start: Points, heading: Points, target: Points, tip: bool) -> Points:
        """A walk that leaves at an angle, bends towards the target and keeps out of the fovea.

        tip: it goes on where a vessel ended, straight on.
        """
        # Plain floats: a step with numpy's scalars takes six times as long.
        (y, x), (to_y, to_x) = start.tolist(), target.tolist()
        fovea_y, fovea_x = self.anatomy.fovea.tolist()
        length, end = math.hypot(to_y - y, to_x - x), 1.04 * self.anatomy.field
        angle = math.atan2(heading[0], heading[1])
        aim = _turn(math.atan2(to_y - y, to_x - x) - angle)
        turn = min(max(abs(aim) + self.rng.normal(0, 0.15), math.radians(18)), math.radians(65))
        angle += 0.0 if tip else math.copysign(turn, aim)
        steps = int(1.6 * length / STEP) + 3
        # A winding vessel winds in short waves round a smooth line.
        bends = 1.6 * smooth_noise(self.rng, steps, 0.16 / STEP)
        waves = self.tortuosity * 5 * smooth_noise(self.rng, steps, 0.036 / STEP)
        points = [(y, x)]
        for wobble in (bends + waves).tolist():
            left = math.hypot(to_y - y, to_x - x)
            if left < STEP or math.hypot(y, x) > end:
                break
            error = _turn(math.atan2(to_y - y, to_x - x) - angle)
            angle += STEP * (min(max(error / max(left, 0.12), -6), 6) + wobble)
            y, x = y + STEP * math.sin(angle), x + STEP * math.cos(angle)
            if math.hypot(y - fovea_y, x - fovea_x) < AVASCULAR:
                break
            points.append((y, x))
        return np.array(points)

    def _free_length(self, path: Points) -> int:
        """How many points of a new branch come before it would meet its own tree again."""
        y, x = self._points.T
        (low_y, low_x), (high_y, high_x) = path.min(0) - 0.031, path.max(0) + 0.031
        near = self._points[(y > low_y) & (y < high_y) & (x > low_x) & (x < high_x)]
        gaps = _squared_distances(near, path).min(axis=0)
        clear = np.maximum.accumulate(gaps)  # it has to leave its parent first
        meets = np.flatnonzero((gaps < 0.022**2) & (clear > 0.03**2))
        return int(meets[0]) if len(meets) else len(path)

    def _add(self, branch: Branch) -> None:
        points = branch.points
        headings = np.gradient(points, axis=0)
        headings /= np.maximum(np.hypot(*headings.T)[:, None], 1e-9)
        self.branches.append(branch)
        self._starts.append(len(self._points))
        self._points = np.concatenate([self._points, points])
        self._headings = np.concatenate([self._headings, headings])
        gaps = _squared_distances(points[::2].astype(np.float32), self.places.astype(np.float32))
        self.emptiness = np.minimum(self.emptiness, np.sqrt(gaps.min(axis=0)))

    def calibre(self, look: Look, trunk: float, least_radius: float) -> float:
        """Set every branch's radius r from the length L of all vessels downstream, Murray's law
        made continuous: r^m = tip^m + trunk^m · L / TRUNK_LENGTH. Of L, L / (L + twig) counts.

        Returns the area of all vessels within the field of view, overlaps counted twice, radii at
        least `least_radius`."""
        downstream = [np.arange(len(b.points), 0, -1) * STEP for b in self.branches]
        for number in range(len(self.branches) - 1, -1, -1):  # children come after parents
            branch = self.branches[number]
            if branch.parent is not None:
                downstream[branch.parent][: branch.index + 1] += downstream[number][0]
        power = look.murray
        for branch, length in zip(self.branches, downstream, strict=True):
            counted = length * (length / (length + look.twig))
            wide = trunk**power * counted / TRUNK_LENGTH
            branch.radius = (look.tip**power + wide) ** (1 / power)
        radius = np.concatenate([branch.radius for branch in self.branches])
        visible = np.hypot(*self._points.T) < self.anatomy.field
        return float((2 * np.maximum(radius, least_radius) * STEP)[visible].sum())


def _places(anatomy: Anatomy) -> Points:
    """[N, 2] a grid over the field of view, without the disc and the middle of the macula."""
    reach = 1.02 * anatomy.field
    axis = np.linspace(-reach, reach, 2 * math.ceil(reach / SPACING) + 1)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    places = np.stack([y.ravel(), x.ravel()], axis=1)
    inside = np.hypot(*places.T) < reach
    inside &= np.hypot(*(places - anatomy.fovea).T) > AVASCULAR * 1.1
    inside &= np.hypot(*(places - anatomy.disc).T) > anatomy.disc_radius * 1.3
    return np.asarray(places[inside])


def _squared_distances(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    """[A, B] between all points of two lists."""
    dy = a[:, :1] - b[:, 0]
    dx = a[:, 1:] - b[:, 1]
    dy *= dy
    dx *= dx
    dy += dx
    return dy


def _turn(angle: float) -> float:
    """The same angle in [-π, π)."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def grow_trees(
    anatomy: Anatomy, rng: np.random.Generator, look: Look, least_radius: float
) -> tuple[Tree, Tree]:
    """(arteries, veins) that together cover about `look.share` of the field of view.

    least_radius: of a vessel that can be drawn, half a pixel or a little more."""
    sparse = least_radius > 0.012
    arteries = Tree(anatomy, rng, look.tortuosity, rng.uniform(0.47, 0.56), sparse)
    veins = Tree(anatomy, rng, look.tortuosity * 0.9, rng.uniform(0.52, 0.64), sparse)

    def covered() -> float:
        """The area, with all radii set anew."""
        trees = (arteries, ARTERY_RADIUS), (veins, VEIN_RADIUS)
        areas = [tree.calibre(look, trunk * look.trunk, least_radius) for tree, trunk in trees]
        return max(1e-9, sum(areas))

    overlap = 0.93  # crossings and branch origins are covered twice
    wanted = look.share * np.pi * anatomy.field**2 / overlap
    number = 0
    while (found := covered()) < wanted and number < MOST_BRANCHES:
        # Half of the way that is left, as far as the branches so far tell.
        more = max(2, int(0.5 * (number + 8) * (wanted / found - 1)))
        for _ in range(min(more, MOST_BRANCHES - number)):
            first, second = (arteries, veins) if number % 2 else (veins, arteries)
            first.grow(avoid=second)
            number += 1
    return arteries, veins
