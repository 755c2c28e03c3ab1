"""Domain randomisation: looks beyond those of any camera, for models that meet other ones.

All of it is light, so masks stay; except for the zoom, which image and mask share.
"""

from __future__ import annotations

import numpy as np

from vesselforge.data.phantoms.appearance import Look, numbers

FACTORS = {
    "vessel": (-0.6, 0.4),
    "reflex": (-1.0, 0.7),
    "blur": (-0.4, 0.9),
    "grain": (-1.0, 1.0),
    "texture": (-0.7, 0.7),
    "macula": (-1.0, 0.5),
    "fovea": (-1.0, 0.5),
    "cup": (-1.0, 0.4),
}
"""Least and greatest logarithm of what a figure is multiplied with, at full strength."""
ADDED = {
    "spots": 3.0,
    "stripes": 0.06,
    "streaks": 0.12,
    "rim": 0.3,
    "haze": 0.08,
    "falloff": 0.2,
    "vignette": 0.2,
}
"""The most that is added to a figure, at full strength."""
HUE, TINT, GAMMA, BRIGHTNESS = 0.35, 0.2, 0.35, (-0.5, 0.2)
"""Logarithms: of a channel's light, of its vessels' absorption, of its gamma; of all light."""
DISC = (-0.5, 1.4)
"""Factors of the disc's brightness: it may be darker than the ground."""


def randomised(look: Look, strength: float, rng: np.random.Generator) -> Look:
    """A look further away. strength: in [0, 1]; 0 leaves it as it is, 1 zooms by 0.5 to 2."""
    if strength == 0:
        return look
    low, high = DISC
    changed = {
        name: numbers(look, name) * np.exp(strength * rng.uniform(*range_))
        for name, range_ in FACTORS.items()
    }
    for name, most in ADDED.items():
        changed[name] = numbers(look, name) + strength * rng.uniform(0, most)
    hue = rng.uniform(-HUE, HUE, 3) + rng.uniform(*BRIGHTNESS)
    changed["colour"] = numbers(look, "colour") + strength * hue
    changed["vessel"] *= np.exp(strength * rng.uniform(-TINT, TINT, 3))
    changed["gamma"] = numbers(look, "gamma") * np.exp(strength * rng.uniform(-GAMMA, GAMMA, 3))
    changed["disc"] = numbers(look, "disc") * (1 + strength * (rng.uniform(low, high) - 1))
    changed["radius"] = look.radius * 2 ** (strength * rng.uniform(-1, 1))
    # Larger than the image, the view may lie anywhere behind it.
    slack = max(0.0, float(changed["radius"]) - max(0.5, look.radius))
    for name in ("centre_y", "centre_x"):
        changed[name] = numbers(look, name) + rng.uniform(-0.6, 0.6) * slack
    return look.with_figures(changed)
