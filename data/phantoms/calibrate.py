"""Vessel trees like the drawn ones: figures of their growth, corrected on trees grown with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vesselforge.data.phantoms.appearance import GENERIC, Look
from vesselforge.data.phantoms.draw import compose
from vesselforge.data.phantoms.shape import Mask, Shape, mean_shape, shape_of

ROUNDS = 5
MURRAY = 4.0
"""Exponent of fitted trees: with 3 they have fewer vessels of medium width than DRIVE's."""
TREES = 8
"""Grown in a round, at least: the mean of their shares and widths is known to 2 %."""


def calibrated(looks: Sequence[Look], drawn: Sequence[tuple[Mask, Mask]]) -> list[Look]:
    """Looks whose trees have share, widths and winding of the masks (mask, fov), each its own
    share and winding, all the same thinnest radius; a mask without vessels, those of the others;
    as they were, when none has vessels."""
    found = [
        shape_of(mask, fov, look.radius * max(mask.shape))
        for look, (mask, fov) in zip(looks, drawn, strict=True)
    ]
    known = [shape for shape in found if shape]
    if not known:
        return list(looks)
    mean = mean_shape(known)
    wanted = [shape or mean for shape in found]
    sizes = [max(mask.shape) for mask, _ in drawn]
    looks = [_start(*one, mean) for one in zip(looks, wanted, sizes, strict=True)]
    times = -(-TREES // len(looks))
    for _ in range(ROUNDS):
        got = mean_shape(
            [
                shape
                for number in range(times)
                for look, size in zip(looks, sizes, strict=True)
                if (shape := _tree_shape(look, size, number))
            ]
        )
        looks = [_nearer(look, mean, got) for look in looks]
    return looks


def _tree_shape(look: Look, size: int, seed: int) -> Shape | None:
    scene = compose(look, size, np.random.default_rng([seed, 7]))
    return shape_of(scene.mask, scene.fov, scene.canvas.radius)


def _start(look: Look, shape: Shape, size: int, mean: Shape) -> Look:
    """The thinnest vessels are as thin as people draw them, no thinner; the rest is corrected."""
    generic = GENERIC.looks[0]
    values = {
        "share": shape.share,
        "tip": mean.least / 2 / (look.radius * size) * look.field,
        "trunk": generic.trunk * (shape.wide / mean.wide) ** 0.7,
        "murray": MURRAY,
        "twig": 0.3,
        "tortuosity": generic.tortuosity * shape.winding / max(mean.winding, 1e-3),
    }
    return look.with_figures(values)


def _nearer(look: Look, wanted: Shape, got: Shape) -> Look:
    """Exponents a little below those that would do it at once: the figures pull at each other.

    Trees have not all that is drawn: with the mean calibre of DRIVE's masks their twigs are half a
    pixel too wide, with those twigs the mean is too low; `twig` takes the middle.
    """
    values = {
        "share": look.share * wanted.share / got.share,
        "trunk": look.trunk * (wanted.wide / got.wide) ** 0.8,
        "twig": look.twig * (got.calibre / wanted.calibre * np.sqrt(got.thin / wanted.thin)) ** 2.5,
        "tortuosity": look.tortuosity * (wanted.winding / max(got.winding, 1e-3)) ** 1.2,
    }
    return look.with_figures(values)
