"""The appearance of a camera and its annotators, measured on a few images with masks.

Analysis by synthesis: figures are measured on a photograph and, in the same way, on its twin, a
phantom with the vessels of its mask; the look is corrected until both agree. What misplaced masks,
blur and noise do to a measurement, they do to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vesselforge.configs.errors import DataError
from vesselforge.data.imageset import LoadedImage
from vesselforge.data.phantoms.anatomy import DISC_RADIUS, Anatomy
from vesselforge.data.phantoms.appearance import DARK, GENERIC, GRAIN_PX, ZERO, Appearance, Look
from vesselforge.data.phantoms.canvas import Field, enlarged, network
from vesselforge.data.phantoms.light import Scene, photograph
from vesselforge.data.phantoms.measurements import Figures, measure, sigmas
from vesselforge.data.phantoms.photo import Blocks, Disc, Ground, Photo, photo_of, to_planes
from vesselforge.data.phantoms.shape import calibrated

MOST_IMAGES = 24
"""That are measured, at even distances in the list: further eyes add little, each takes seconds."""
ROUNDS = 8
"""Of corrections. Noise and colours then agree within 5 %, contrasts mostly within 15 %."""
MISPLACED = 0.8
"""Pixels: root mean square distance of hand-drawn middles from those of the vessels."""
MOST_TEXTURE = 0.15
"""Standard deviation, of a band of the ground's texture."""
POOLED = {"blur": 0.25, "girth": 0.5, "margin": 0.5, "thickness": 0.5, "variation": 0.5}
"""Of the camera and the annotators, not of one eye: the median of all images; of blur the lower
quartile: where a mask is careless vessels only seem blurred."""
LIGHTING = ("falloff", "vignette", "cloud", "rim", "haze", "fibres", "halo")
"""Nothing of it is drawn at first: the measured light has it already."""
OF_DISC = ("disc", "cup", "halo", "disc_y", "disc_x")
OF_FOVEA = ("macula", "fovea")
OF_VESSELS = ("vessel", "reflex")
JITTER = {"falloff": 0.1, "vignette": 0.1, "rim": 0.04, "field": 0.04, "spots": 0.3}
"""Half the range of what cannot be learnt from a few images."""


@dataclass(frozen=True)
class Case:
    """One image to be measured, and what was found on it. light [3, H, W]: ground and macula."""

    photo: Photo
    disc: Disc | None
    ground: Ground
    light: Field
    anatomy: Anatomy
    real: Figures


def fit_appearance(images: Sequence[LoadedImage]) -> Appearance:
    """An appearance with one look for each image, and ranges that are wide when they are few.

    images: of more than MOST_IMAGES so many. Every image has a FOV; masks are the targets above
    0.5. What an image does not show is taken from the others, and from GENERIC where none shows
    it: disc (none stands out), macula (out of view), light and shape of vessels (no mask, fewer
    than 50 pixels of centre line), central reflex and breadth (none wider than 4 pixels). Images
    of any size and colour are measured; tiny ones yield no more than their colours.
    Raises DataError for no image, and for one with an empty field of view.
    """
    if not images:
        raise DataError("found no image to measure an appearance on, expected at least one")
    images = images[:: -(-len(images) // MOST_IMAGES)]
    photos = [photo_of(image) for image in images]
    looks = calibrated(_looks(_cases(photos)), [(photo.mask, photo.fov) for photo in photos])
    side = int(np.median([max(photo.fov.shape) for photo in photos]))
    return Appearance(looks=tuple(looks), half_widths=_half_widths(looks), side=side)


def _cases(photos: Sequence[Photo]) -> list[Case]:
    blocks = [Blocks(photo) for photo in photos]
    found = [one.disc() for one in blocks]
    usual = float(np.median([disc.radius for disc in found if disc] or [DISC_RADIUS]))
    field = GENERIC.looks[0].with_figures({"field": DISC_RADIUS / usual}).field
    cases = []
    for photo, coarse, seen in zip(photos, blocks, found, strict=True):
        # Another radius than most: a lesion or a reflection, taken for the disc.
        disc = seen if seen and 0.6 < seen.radius / usual < 1.6 else None
        ground = coarse.ground(disc, field)
        step, shape = coarse.canvas.step, photo.canvas.shape
        light = np.stack([enlarged(plane, shape, step) for plane in ground.fitted])
        place = np.array([disc.y, disc.x] if disc else [0.0, 0.0]) * field
        fovea = place + np.array([0.07, -0.68 * ground.nasal])
        anatomy = Anatomy(place, fovea, disc.radius * field if disc else DISC_RADIUS, field)
        cases.append(Case(photo, disc, ground, light, anatomy, measure(photo, disc, light)))
    return cases


def _looks(cases: Sequence[Case]) -> list[Look]:
    looks = [_first(case) for case in cases]
    marked = ["contrast" in case.real for case in cases]
    for _ in range(ROUNDS):
        for number, case in enumerate(cases):
            twin = measure(twin_of(case, looks[number]), case.disc, case.light)
            looks[number] = _corrected(looks[number], case, twin)
        if any(marked):
            pooled: dict[str, ArrayLike] = {
                name: np.quantile([one.figure(name) for one in compress(looks, marked)], share)
                for name, share in POOLED.items()
            }
            looks = [look.with_figures(pooled) for look in looks]
    looks = _completed(looks, [case.disc is not None for case in cases], OF_DISC)
    looks = _completed(looks, [case.ground.dark is not None for case in cases], OF_FOVEA)
    return _completed(looks, marked, OF_VESSELS)


def _first(case: Case) -> Look:
    """What is measured without a twin, and where corrections start."""
    photo, ground, real = case.photo, case.ground, case.real
    dark = np.zeros((2, 3)) if ground.dark is None else ground.dark
    fine = len(GRAIN_PX)
    # Intensity a little away from the field of view; 0 where there is no outside.
    away = (photo.canvas.squared() > 1.05**2) & ~photo.fov
    outside = np.zeros(3)
    if away.any():
        intensity = np.exp(photo.planes) - np.float32(DARK)
        outside = np.maximum(intensity[:, away].mean(axis=1) - 0.005, 0)
    # Of small images some bands are no coarser than the one before.
    measurable = np.diff(sigmas(photo.canvas.radius)) > 0.4
    changed: dict[str, ArrayLike] = dict.fromkeys(LIGHTING, 0.0) | {
        "radius": photo.canvas.radius / max(photo.fov.shape),
        "cut": photo.cut,
        "field": case.anatomy.field,
        "colour": ground.weights[0],
        "light": ground.weights[1:],
        "macula": dark[0],
        "fovea": dark[1],
        "grain": real["bands"][:fine],
        "grain_mix": real["mix"][:fine],
        "texture": real["bands"][fine:] * measurable[fine:, None],
        "texture_mix": real["mix"][fine:],
        "stripes": min(0.03, 0.3 * real["bands"][-2, 1]),
        "spots": 0.0,
        "surround": outside,
    }
    if case.disc is None:
        changed |= {"disc": ZERO, "cup": ZERO}
    else:
        changed |= {"disc_y": case.disc.y, "disc_x": case.disc.x * ground.nasal}
    return GENERIC.looks[0].with_figures(changed)


def twin_of(case: Case, look: Look) -> Photo:
    """The phantom with the vessels of a photograph's mask."""
    photo, lines = case.photo, case.photo.lines
    radius = lines.width / 2
    seen = look.girth * radius + look.margin * photo.canvas.radius
    rng = np.random.default_rng(7)
    # How far vessels lie beside the middle of what people draw.
    beside = [photo.canvas.noise(12.0, rng)[tuple(lines.where.T)] for _ in range(2)]
    where = lines.where + MISPLACED / np.sqrt(2) * np.stack(beside, axis=1).astype(np.float64)
    vessels = [(network(photo.canvas.shape, where, radius, seen), 1.0, 1.0)]
    scene = Scene(photo.canvas, case.anatomy, vessels, photo.fov)
    return replace(photo, planes=to_planes(photograph(scene, look, rng)))


def _corrected(look: Look, case: Case, twin: Figures) -> Look:
    """The look that a photograph needs, if this one gave that twin."""
    real, fine = case.real, len(GRAIN_PX)
    bands, mix = _ratio(real["bands"], twin["bands"]), real["mix"] - twin["mix"]
    # A channel near black varies most on this scale, and must not come out bright in spots.
    texture = np.minimum(look.figure("texture") * bands[fine:], MOST_TEXTURE)
    changed: dict[str, ArrayLike] = {
        "colour": look.figure("colour") + real["colour"] - twin["colour"],
        "grain": look.figure("grain") * bands[:fine],
        "texture": texture,
        "grain_mix": np.clip(look.figure("grain_mix") + mix[:fine], -0.98, 0.98),
        "texture_mix": np.clip(look.figure("texture_mix") + mix[fine:], -0.98, 0.98),
    }
    if "disc" in real and "disc" in twin:
        plate = look.figure("disc") + real["disc"] - twin["disc"]
        changed["disc"] = np.clip(plate, -1, 1.5)  # where the twin is saturated, it may run away
        changed["cup"] = np.clip(look.figure("cup") + real["cup"] - twin["cup"], -0.2, 1)
        halo = (real["ring"] - twin["ring"]) / max(0.1, look.disc[1])
        changed["halo"] = np.clip(look.halo + 0.7 * halo, 0, 0.2)
    if "contrast" in real and "contrast" in twin:
        changed |= _vessels(look, real, twin, case.photo.canvas.radius)
    return look.with_figures(changed)


def _vessels(look: Look, real: Figures, twin: Figures, radius: float) -> dict[str, ArrayLike]:
    """Corrections of the vessels' light. radius: of the view, in pixels."""
    ratio = _ratio(-real["contrast"], -twin["contrast"])  # [3 classes, 3]
    thin, medium, wide = ratio[:, 1]
    bend = np.log(medium**2 / (thin * wide))  # < 0: medium ones are too dark, thin ones too faint
    changed: dict[str, ArrayLike] = {
        "vessel": look.figure("vessel") * np.exp(np.array([0.3, 0.3, 0.4]) @ np.log(ratio)),
        "thickness": look.thickness / np.clip(thin / wide, 0.6, 1.7),
        "margin": look.margin - 0.15 * bend / radius,
        "reflex": np.clip(look.figure("reflex") + 2 * (real["crest"] - twin["crest"]), 0, 1),
        "variation": look.variation * np.sqrt(_ratio(real["variation"], twin["variation"])),
    }
    squared = (look.blur * radius) ** 2
    (thin, wide), (twin_thin, twin_wide) = real["breadths"], twin["breadths"]
    if min(thin, twin_thin) > 0:
        moved = squared + 0.5 * (thin - twin_thin)
        changed["blur"] = np.sqrt(np.clip(moved, 0.2, 9)) / radius
    if min(wide, twin_wide) > 0:
        grown = np.sqrt(_ratio(wide - squared, twin_wide - squared))
        changed["girth"] = np.clip(look.girth * grown, 0.6, 1.5)
    return changed


def _ratio(wanted: ArrayLike, found: ArrayLike) -> NDArray[np.float64]:
    """wanted / found within [0.5, 2]; 1 where either is no more than 0."""
    a, b = np.asarray(wanted, dtype=np.float64), np.asarray(found, dtype=np.float64)
    ratio = np.where((a > 1e-6) & (b > 1e-6), a / np.maximum(b, 1e-6), 1.0)
    return np.clip(ratio, 0.5, 2.0)


def _completed(looks: Sequence[Look], shown: Sequence[bool], names: Sequence[str]) -> list[Look]:
    """What an image does not show is the mean of those that show it, else generic."""
    sources = list(compress(looks, shown)) or [GENERIC.looks[0]]
    means = {name: np.mean([one.figure(name) for one in sources], axis=0) for name in names}
    return [
        look if is_shown else look.with_figures(means)
        for look, is_shown in zip(looks, shown, strict=True)
    ]


def _half_widths(looks: Sequence[Look]) -> dict[str, tuple[float, ...]]:
    """Round each look: 0.6 of the looks' own standard deviation, and where they are few, half the
    generic range, which counts as much as two images."""
    few = len(looks) - 1
    found: dict[str, tuple[float, ...]] = {name: (half,) for name, half in JITTER.items()}
    for name, generic in GENERIC.half_widths.items():
        if name in JITTER or name in LIGHTING or name in ("radius", "centre_y", "centre_x"):
            continue
        values = np.stack([look.figure(name).ravel() for look in looks])
        if name == "brightness":  # measured images have theirs in the colour
            values = np.stack([np.full(3, look.figure("colour").mean()) for look in looks])
        own = 0.6 * np.sqrt(3) * values.std(axis=0)
        both = np.sqrt((few * own**2 + 2 * (0.5 * np.asarray(generic)) ** 2) / (few + 2))
        found[name] = tuple(both.tolist())
    return found
