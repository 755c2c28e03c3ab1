"""When a challenger takes the champion's place."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from vesselforge.pipeline.models.contest import judge

MARGIN = 0.01
CHAMPION = [0.80, 0.82, 0.78, 0.84, 0.81]


def test_the_test_is_scipys_one_sided_paired_t() -> None:
    challenger = [0.805, 0.818, 0.783, 0.838, 0.812]
    found = judge(3, CHAMPION, challenger, MARGIN)
    differences = np.subtract(challenger, CHAMPION)
    reference = ttest_1samp(differences, -0.01, alternative="greater")
    assert found.p == pytest.approx(float(reference.pvalue), rel=1e-9)
    interval = reference.confidence_interval(0.95)
    assert found.low == pytest.approx(float(interval.low), rel=1e-9)
    assert found.difference == pytest.approx(float(differences.mean()))
    assert found.promoted and found.p is not None and found.p < 0.05
    assert "version 3" in found.why and "above the margin of -0.01" in found.why


@pytest.mark.parametrize(
    ("differences", "promoted"),
    [
        ([0.0] * 5, True),  # the same model again: not worse
        ([-0.009] * 5, True),
        ([-0.011] * 5, False),
        ([0.03, -0.03, 0.04, -0.04, 0.0], False),  # as good on average, but nobody knows
        ([0.02, 0.03, 0.01, 0.02, 0.03], True),
        ([-0.05, -0.04, -0.06, -0.05, -0.05], False),
    ],
)
def test_not_worse_by_more_than_the_margin(differences: list[float], promoted: bool) -> None:
    challenger = [c + d for c, d in zip(CHAMPION, differences, strict=True)]
    found = judge(1, CHAMPION, challenger, MARGIN)
    assert found.promoted is promoted, found
    assert found.p is not None and (found.p < 0.05) is promoted


@pytest.mark.parametrize("images", [0, 1])
def test_too_few_images_say_nothing(images: int) -> None:
    found = judge(1, CHAMPION[:images], CHAMPION[:images], MARGIN)
    assert not found.promoted and found.p is None
    assert "at least 2 are needed" in found.why


def test_a_model_worse_by_the_margin_is_rarely_promoted() -> None:
    """H0 at its border, 2000 simulated contests of 4 images: ALPHA holds."""
    rng = np.random.default_rng(0)
    champion = rng.normal(0.8, 0.03, (2000, 4))
    challenger = champion - 0.01 + rng.normal(0, 0.008, (2000, 4))
    pairs = zip(champion.tolist(), challenger.tolist(), strict=True)
    share = np.mean([judge(1, old, new, MARGIN).promoted for old, new in pairs])
    assert 0.035 < share < 0.065
