"""How good the samples are: distances and their floor, fidelity, diversity, copies."""

from __future__ import annotations

import re
from dataclasses import dataclass

from flows.report.pictures import Picture, opened, picture
from flows.report.reading import View
from flows.report.tables import Table, fixed, flat, number, plain, significant, spoken

DISTANCES = ["Score", "Synthetic to real", "Floor: real to real"]
MANIFOLDS = (
    ("precision", "samples inside the manifold of the real images"),
    ("recall", "real images inside the manifold of the samples"),
    ("density", "how many real neighbourhoods a sample lies in; 1 is usual, more is possible"),
    ("coverage", "real images with a sample in their neighbourhood"),
)
PATHS = (
    ("perceptual_path_length", "LPIPS along short steps between latents; lower is smoother"),
    ("feature_path_length", "the same by the features named above: not LPIPS, not comparable"),
)
TOLD = ("fid", "kid", "real", "copy_", *(name for name, _ in (*MANIFOLDS, *PATHS)))
PUBLISHED = re.compile(r"(.*)[fk]id(\d+k?_full)")
"""fid50k_full and kid50k_full; of another extractor than Inception with its name before them."""


@dataclass(frozen=True)
class Quality:
    """What generator.score found. verdict, copied: one sentence each, or nothing."""

    distances: Table | None = None
    verdict: str = ""
    manifolds: Table | None = None
    copied: str = ""
    closest: Picture | None = None


def quality_of(view: View | None) -> Quality:
    """Whatever there is; artifacts of earlier versions have less."""
    if view is None or not view.metrics:
        return Quality()
    return Quality(
        _distances(view), _verdict(view), _manifolds(view), _copied(view), _closest(view)
    )


def _distances(view: View) -> Table:
    found = view.metrics
    fid, floor = (significant(found.get(name), 4) for name in ("fid", "fid_floor"))
    rows = [["FID (lower is closer)", fid, floor]]
    for title, name in (("KID, mean", "mean"), ("KID, sd over resamplings", "std")):
        pair = (found.get(f"kid_{name}"), found.get(f"kid_floor_{name}"))
        rows.append([title, *map(significant, pair)])
    for name in found:
        if match := PUBLISHED.fullmatch(name):
            reals = plain(found.get(f"{match[1]}real{match[2]}"))
            rows.append([f"{name}, against {reals} real images", significant(found[name], 4), "–"])
    rest = {k: v for k, v in flat(found) if not k.startswith(TOLD) or k in ("real", "neighbours")}
    note = ", ".join(f"{spoken(k)}: {plain(v)}" for k, v in rest.items())
    return Table("Distance of the samples from the real images.", DISTANCES, rows, note=note)


def _verdict(view: View) -> str:
    names = ("kid_mean", "kid_std", "kid_floor_mean", "kid_floor_std")
    values = [number(view.metrics.get(n)) for n in names]
    if any(v is None for v in values):
        return ""
    mean, sd, floor, floor_sd = (float(v or 0) for v in values)
    error = (sd**2 + floor_sd**2) ** 0.5
    if mean - floor <= 2 * error:
        return "KID is within two standard deviations of its floor: no clear difference seen."
    return "KID is clearly above its floor: the samples can be told from real images."


def _manifolds(view: View) -> Table | None:
    rows = [
        [spoken(name).capitalize(), significant(view.metrics.get(name)), meaning]
        for name, meaning in (*MANIFOLDS, *PATHS)
        if number(view.metrics.get(name)) is not None
    ]
    return (
        Table("Fidelity and diversity.", ["Score", "Value", "What it is"], rows) if rows else None
    )


def _copied(view: View) -> str:
    """The copy ratio against what new images would have, with its own uncertainty."""
    names = ("copy_ratio", "copy_expected", "copy_held_out_images", "synthetic")
    values = [number(view.metrics.get(n)) for n in names]
    if any(v is None for v in values):
        return ""
    ratio, expected, held_out, samples = (float(v or 0) for v in values)
    # Crops of one image are alike: what counts is the number of images they come from.
    error = (expected * (1 - expected) * (1 / max(samples, 1) + 1 / (held_out + 1))) ** 0.5
    facts = (
        f"{fixed(100 * ratio, 1)} % of the samples come nearer to a training image than all but "
        f"{fixed(100 * expected, 1)} % of the views of {held_out:.0f} held-out images do"
    )
    if ratio <= expected + 2 * error:
        return f"No sign of copying: {facts}."
    return (
        f"Suspicion of copying: {facts}. Compare the pairs below: true copies share their vessels. "
        "Truncation (psi below 1) and blank images also bring samples nearer."
    )


def _closest(view: View) -> Picture | None:
    caption = "Samples (left) and the training view nearest to each (right), nearest first"
    return picture(opened(view.read("closest.png")), caption, caption, 900)
