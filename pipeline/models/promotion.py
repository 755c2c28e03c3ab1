"""Whether a challenger takes the champion's place: a paired test over validation images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel
from scipy.stats import ttest_1samp

ALPHA = 0.05
"""Chance of promoting a model that is worse by the margin."""
LEAST = 2
"""Images below which differences have no spread that could be estimated."""


class Comparison(BaseModel):
    """Champion against challenger. f1: means over `images`; difference: challenger − champion;
    low: lower end of its one-sided interval at 1 − ALPHA, None for too few images."""

    champion: int
    images: int
    f1_champion: float | None
    f1_challenger: float | None
    difference: float | None
    low: float | None
    p: float | None
    margin: float
    promoted: bool
    why: str


def judge(
    number: int, champion: Sequence[float], challenger: Sequence[float], margin: float
) -> Comparison:
    """Non-inferiority by a one-sided paired t-test of H0: mean difference ≤ −margin.

    number: of the champion's version. champion, challenger: F1 of each on the same images.
    Promoted when H0 is rejected at ALPHA, which is when `low` lies above −margin: a challenger
    about which too little is known stays where it is.
    """
    found = {"champion": number, "images": len(champion), "margin": margin}
    if len(champion) < LEAST:
        return Comparison(
            **found, f1_champion=_mean(champion), f1_challenger=_mean(challenger),
            difference=None, low=None, p=None, promoted=False,
            why=f"{len(champion)} validation images that neither model was trained on, at least "
            f"{LEAST} are needed: add some, or raise data.validation_share",
        )  # fmt: skip
    differences = np.subtract(challenger, champion)
    mean = float(differences.mean())
    if np.ptp(differences) == 0:  # the same model twice: there is no doubt, and no t
        low, p = mean, float(mean <= -margin)
    else:
        test = ttest_1samp(differences, -margin, alternative="greater")
        low, p = float(test.confidence_interval(1 - ALPHA).low), float(test.pvalue)
    promoted = low > -margin
    relation = "above" if promoted else "not above"
    return Comparison(
        **found, f1_champion=_mean(champion), f1_challenger=_mean(challenger),
        difference=mean, low=low, p=p, promoted=promoted,
        why=f"F1 {mean:+.4f} against version {number} on {len(differences)} validation images; "
        f"at {1 - ALPHA:.0%} certainty at least {low:+.4f}, {relation} the margin of "
        f"{-margin:+g}",
    )  # fmt: skip


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
