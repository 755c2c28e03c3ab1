"""What phantoms look like: figures that a drawing follows, and how much they vary.

Intensities are on the scale log(I + DARK), I in [0, 1]: absorption, shade and noise add up there.
A figure of three numbers is red, green, blue. Lengths are in radii of the field of view unless
eye units (see `data.phantoms.anatomy`) are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from vesselforge.configs.base import Settings

DARK = 0.02
"""Keeps the logarithm of black finite: five grey levels of 255."""
GRAIN_PX = (1, 2)
"""Cells in pixels of the camera's noise."""
TEXTURE_CELLS = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4)
"""Cells of the ground's texture, in radii of the field of view."""

Triple = tuple[float, float, float]
ZERO: Triple = (0.0, 0.0, 0.0)


def _varied(default: Any, *half: float, **limits: float) -> Any:
    """A figure's field; half: half the range of generic looks, one number for each of the figure's
    or one for all."""
    return Field(default, json_schema_extra={"half": list(half)}, **limits)  # type: ignore[call-overload]


class Look(Settings):
    """One camera, one eye, its annotators. Defaults are in the middle of the generic ranges.

    Geometry
      radius, centre_y, centre_x: of the field of view, and its offset, as shares of the side
      cut: half its height in radii, 1: a whole circle; field: its radius in eye units
      disc_y, disc_x: of the disc, down and towards the nose
    Vessels
      share: of the field of view; tortuosity: 1 is usual
      tip: radius of the thinnest, eye units; trunk: radius of the widest, 1 as in DRIVE
      murray: exponent of Murray's law; twig: length over which ends stay thin, eye units
    Their light
      vessel: absorption of a very thick one; thickness: depth that absorbs 63 % of that
      girth, margin: the visible radius is girth × that in the mask + margin
      reflex: brightness along the middle of wide ones; variation: of absorption, relative
    Ground
      colour, pigment, brightness: added up; light: weights of `light.light_terms`
      falloff, vignette, cloud: strengths of further unevenness of the light
      macula, fovea: darkening; disc, cup: brightening; halo: share of the disc's, round it
      stripes, streaks: of the choroid, vague and distinct; fibres: of the nerve
      spots: bleedings and deposits, 1 is usual; rim, haze: stray light, of full intensity
    Camera
      blur: standard deviation
      grain, texture: standard deviations for GRAIN_PX and TEXTURE_CELLS; grain_mix, texture_mix:
      correlations of red and green, green and blue, red and blue
      gamma: exponent of the intensity; surround: intensity outside the field of view
    """

    radius: float = _varied(0.475, 0.010, ge=0.1, le=1.5)
    centre_y: float = _varied(0.0, 0.008)
    centre_x: float = _varied(0.0, 0.008)
    cut: float = Field(1.0, ge=0.3, le=1)
    field: float = Field(1.0, ge=0.4, le=1.6)
    disc_y: float = _varied(-0.04, 0.10)
    disc_x: float = _varied(0.74, 0.13)

    share: float = _varied(0.1135, 0.0165, ge=0.01, le=0.3)
    tip: float = _varied(0.00315, 0.00045, ge=0.0005, le=0.02)
    trunk: float = _varied(1.04, 0.075, ge=0.3, le=3)
    murray: float = Field(3.0, ge=1.5, le=8)
    twig: float = Field(0.0, ge=0, le=3)
    tortuosity: float = _varied(1.05, 0.45, ge=0, le=4)

    vessel: Triple = _varied((0.42, 1.2, 0.9), 0.11, 0.32, 0.24)
    girth: float = Field(1.0, ge=0.5, le=1.6)
    margin: float = Field(0.0, ge=0, le=0.02)
    thickness: float = Field(0.0585, ge=0.002, le=1)
    reflex: Triple = _varied((0.06, 0.14, 0.13), 0.03, 0.07, 0.065)
    variation: float = Field(0.22, ge=0)

    colour: Triple = (-0.18, -0.85, -1.4)
    pigment: Triple = _varied(ZERO, 0.0, 0.2, 0.35)
    light: tuple[Triple, ...] = ()
    brightness: Triple = _varied(ZERO, 0.18, 0.18, 0.18)
    falloff: float = _varied(0.225, 0.125, ge=0)
    vignette: float = _varied(0.275, 0.175, ge=0)
    cloud: float = Field(0.06, ge=0)
    macula: Triple = _varied((0.135, 0.30, 0.27), 0.07, 0.15, 0.135)
    fovea: Triple = _varied((0.07, 0.15, 0.135), 0.045, 0.10, 0.09)
    disc: Triple = _varied((0.17, 0.47, 0.52), 0.06, 0.12, 0.15)
    cup: Triple = (0.05, 0.16, 0.20)
    halo: float = _varied(0.135, 0.085, ge=0)
    stripes: float = _varied(0.0325, 0.0175, ge=0)
    streaks: float = Field(0.0, ge=0)
    fibres: float = _varied(0.03, 0.02, ge=0)
    spots: float = Field(1.0, ge=0)
    rim: float = _varied(0.08, 0.08, ge=0)
    haze: float = _varied(0.035, 0.035, ge=0)

    blur: float = _varied(0.0028, 0.0006, ge=0, le=0.05)
    grain: tuple[Triple, ...] = _varied(
        ((0.013, 0.02, 0.026), (0.016, 0.025, 0.033)), 0.004, 0.007, 0.009, 0.005, 0.009, 0.012
    )
    grain_mix: tuple[Triple, ...] = (ZERO, ZERO)
    texture: tuple[Triple, ...] = (
        ZERO,
        (0.012, 0.026, 0.027),
        (0.006, 0.012, 0.013),
        (0.007, 0.015, 0.016),
        (0.013, 0.027, 0.029),
    )
    texture_mix: tuple[Triple, ...] = ((0.98, 0.98, 0.98),) * len(TEXTURE_CELLS)
    gamma: Triple = (1.0, 1.0, 1.0)
    surround: Triple = (0.008, 0.008, 0.008)

    def figure(self, name: str) -> NDArray[np.float64]:
        """A figure as an array: no axis for one number, [n] or [n, 3] for more."""
        return np.asarray(getattr(self, name), dtype=np.float64)

    def with_figures(self, values: Mapping[str, ArrayLike]) -> Look:
        """A look with other figures, each cut to its limits."""
        changed = {}
        for name, value in values.items():
            figure = np.asarray(value, np.float64)
            for limit in Look.model_fields[name].metadata:
                figure = np.clip(figure, getattr(limit, "ge", None), getattr(limit, "le", None))
            changed[name] = figure.tolist()
        return Look.model_validate(dict(self) | changed)


class Appearance(Settings):
    """A mixture of looks, one component each, all varied alike.

    looks: one per measured image. half_widths: of a figure's uniform distribution round a look's,
    flat, as long as the figure has numbers; 0 where it is not named. The numbers of one figure vary
    together. side: pixels of the images that were measured; None: of none.
    """

    looks: tuple[Look, ...] = Field(min_length=1)
    half_widths: dict[str, tuple[float, ...]]
    side: int | None = Field(None, ge=1)

    def draw(self, rng: np.random.Generator) -> Look:
        """One look, every figure within the limits of `Look`."""
        look = self.looks[rng.integers(len(self.looks))]
        moves = rng.uniform(-1, 1, len(Look.model_fields))
        changed = {}
        for name, move in zip(Look.model_fields, moves, strict=True):
            if name in self.half_widths:
                mean = look.figure(name)
                changed[name] = mean + move * np.reshape(self.half_widths[name], mean.shape)
        return look.with_figures(changed)


_EXTRAS = {name: field.json_schema_extra for name, field in Look.model_fields.items()}
GENERIC = Appearance.model_validate(
    {
        "looks": [Look()],
        "half_widths": {
            n: extra["half"] for n, extra in _EXTRAS.items() if isinstance(extra, dict)
        },
    }
)
"""The ranges phantoms had from the start; they were drawn by eyes that knew DRIVE."""

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
    """Domain randomisation: a look beyond those of any camera, for models that meet other ones.

    strength: in [0, 1]; 0 leaves it as it is, 1 zooms by 0.5 to 2. All but the zoom is light, so
    masks stay.
    """
    if strength == 0:
        return look
    low, high = DISC
    changed = {
        name: look.figure(name) * np.exp(strength * rng.uniform(*range_))
        for name, range_ in FACTORS.items()
    }
    for name, most in ADDED.items():
        changed[name] = look.figure(name) + strength * rng.uniform(0, most)
    hue = rng.uniform(-HUE, HUE, 3) + rng.uniform(*BRIGHTNESS)
    changed["colour"] = look.figure("colour") + strength * hue
    changed["vessel"] *= np.exp(strength * rng.uniform(-TINT, TINT, 3))
    changed["gamma"] = look.figure("gamma") * np.exp(strength * rng.uniform(-GAMMA, GAMMA, 3))
    changed["disc"] = look.figure("disc") * (1 + strength * (rng.uniform(low, high) - 1))
    changed["radius"] = look.radius * 2 ** (strength * rng.uniform(-1, 1))
    # Larger than the image, the view may lie anywhere behind it.
    slack = max(0.0, float(changed["radius"]) - max(0.5, look.radius))
    for name in ("centre_y", "centre_x"):
        changed[name] = look.figure(name) + rng.uniform(-0.6, 0.6) * slack
    return look.with_figures(changed)
