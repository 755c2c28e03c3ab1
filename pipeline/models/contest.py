"""Whether a challenger takes the champion's place: a paired test over validation images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import ttest_1samp

from vesselforge.pipeline.models.registry import Comparison

ALPHA = 0.05
"""Chance of promoting a model that is worse by the margin."""
LEAST = 2
"""Images below which differences have no spread that could be estimated."""


def judge(
    number: int, champion: Sequence[float], challenger: Sequence[float], margin: float
) -> Comparison:
    """Non-inferiority by a one-sided paired t-test of H0: mean difference ≤ −margin.

    number: of the champion's version. champion, challenger: F1 of each on the same images.
    Promoted when H0 is rejected at ALPHA, which is when `low` lies above −margin: a challenger
    about which too little is known stays where it is.
    """
    images = len(champion)
    mean = low = p = None
    if images < LEAST:
        why = (
            f"{images} validation images that neither model was trained on, at least {LEAST} are "
            "needed: add some, or raise data.validation_share"
        )
    else:
        differences = np.subtract(challenger, champion)
        mean = float(differences.mean())
        if np.ptp(differences) == 0:  # the same model twice: there is no doubt, and no t
            low, p = mean, float(mean <= -margin)
        else:
            test = ttest_1samp(differences, -margin, alternative="greater")
            low, p = float(test.confidence_interval(1 - ALPHA).low), float(test.pvalue)
        why = (
            f"F1 {mean:+.4f} against version {number} on {images} validation images; at "
            f"{1 - ALPHA:.0%} certainty at least {low:+.4f}, "
            f"{'above' if low > -margin else 'not above'} the margin of {-margin:+g}"
        )
    return Comparison(
        champion=number,
        images=images,
        f1_champion=float(np.mean(champion)) if images else None,
        f1_challenger=float(np.mean(challenger)) if images else None,
        difference=mean,
        low=low,
        p=p,
        margin=margin,
        promoted=low is not None and low > -margin,
        why=why,
    )
