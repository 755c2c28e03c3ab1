"""What KID allows to be said, in words that every output uses, and what extractors are called."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

EXTRACTORS = {
    "random": "untrained VGG",
    "teacher": "teacher's encoder",
    "inception": "Inception",
}
"""Setting `features` → what it is."""
HELP = "more images (sample.count, score.real_views) and larger subsets (score.kid_subset_size)"
UNSURE = "cannot tell"


def kid_verdict(figures: Mapping[str, Any]) -> str:
    """One sentence on the KID of samples beside its floor; empty where either was not measured.

    More than two standard deviations above the floor, those of KID and floor together, is clear; up
    to that it is a hint. It is nothing where KID's own standard deviation is as large as its
    distance from the floor, or larger; or it lies below the floor, where chance alone takes it.
    """
    short = kid_in_short(figures)
    if not short:
        return ""
    above, sd = figures["kid_mean"] - figures["kid_floor_mean"], figures["kid_std"]
    if short == UNSURE:
        where = f"{abs(above):.2g} {'below' if above < 0 else 'above'} its floor"
        return (
            f"KID cannot tell whether the samples are like real images: it is {where}, with a "
            f"standard deviation of {sd:.2g} over resamplings; {HELP} would help."
        )
    if short == "a hint":
        return (
            f"KID is {above:.2g} above its floor, less than two standard deviations: a hint "
            f"that the samples can be told from real images, no more; {HELP} would help."
        )
    return "KID is clearly above its floor: the samples can be told from real images."


def kid_in_short(figures: Mapping[str, Any]) -> str:
    """`kid_verdict` in a few words, for a table; empty like it."""
    names = ("kid_mean", "kid_std", "kid_floor_mean", "kid_floor_std")
    values = [value for name in names if (value := figures.get(name)) is not None]
    if len(values) < len(names):
        return ""
    mean, sd, floor, floor_sd = values
    if mean - floor <= sd:
        return UNSURE
    return "a hint" if mean - floor <= 2 * math.hypot(sd, floor_sd) else "can be told"
