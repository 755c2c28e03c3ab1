"""Metrics of pixels against loops, and properties that must hold for every metric."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from metric_helpers import pooled, score

from vesselforge.configs.errors import DataError
from vesselforge.segmenter.metrics.confusion import COUNTS, rates
from vesselforge.segmenter.metrics.probabilities import best_threshold, ranking
from vesselforge.segmenter.metrics.scores import METRICS

RNG = np.random.default_rng(0)
PROB = RNG.random((16, 16)).astype(np.float32)
REFERENCE = RNG.random((16, 16)) < 0.3
FOV = RNG.random((16, 16)) < 0.7


def _counts(threshold: float) -> dict[str, int]:
    counts = {"tp": 0, "fp": 0, "fn": 0, "tn": 0}
    for i, j in itertools.product(range(16), range(16)):
        if FOV[i, j]:
            hit = PROB[i, j] >= threshold
            name = ("t" if hit == REFERENCE[i, j] else "f") + ("p" if hit else "n")
            counts[name] += 1
    return counts


def test_counts_and_ratios_equal_loops() -> None:
    c = _counts(0.4)
    found = score(PROB, REFERENCE, FOV, 0.4)
    for name, value in c.items():
        assert found[name] == value
    tp, fp, fn, tn = c["tp"], c["fp"], c["fn"], c["tn"]
    precision, se, sp = tp / (tp + fp), tp / (tp + fn), tn / (tn + fp)
    assert found["precision"] == pytest.approx(precision)
    assert found["se"] == pytest.approx(se)
    assert found["sp"] == pytest.approx(sp)
    assert found["f1"] == pytest.approx(2 * precision * se / (precision + se))
    assert found["f1"] != pytest.approx(2 * precision * sp / (precision + sp))  # not that one
    assert found["acc"] == pytest.approx((tp + tn) / (tp + fp + fn + tn))
    assert found["iou"] == pytest.approx(tp / (tp + fp + fn))
    vessels = np.corrcoef(PROB[FOV] >= 0.4, REFERENCE[FOV])[0, 1]
    assert found["mcc"] == pytest.approx(vessels)
    share = (tp + fn) / (tp + fp + fn + tn)
    assert found["acc"] == pytest.approx(se * share + sp * (1 - share))


@settings(max_examples=60, deadline=None)
@given(tp=st.integers(0, 9), fp=st.integers(0, 9), fn=st.integers(0, 9), tn=st.integers(0, 9))
def test_every_rate_is_its_definition_or_nan(tp: int, fp: int, fn: int, tn: int) -> None:
    found = rates({"tp": tp, "fp": fp, "fn": fn, "tn": tn})
    below = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    for name, above, under in (
        ("f1", 2 * tp, 2 * tp + fp + fn),
        ("se", tp, tp + fn),
        ("sp", tn, tn + fp),
        ("acc", tp + tn, tp + fp + fn + tn),
        ("precision", tp, tp + fp),
        ("iou", tp, tp + fp + fn),
        ("mcc", tp * tn - fp * fn, below),
    ):
        if under:
            assert found[name] == pytest.approx(above / under)
        else:
            assert math.isnan(found[name])


def test_counts_of_many_large_images_do_not_overflow() -> None:
    n = 10**10
    assert rates(dict.fromkeys(COUNTS, n))["mcc"] == 0.0
    assert rates({"tp": n, "fp": 0, "fn": 0, "tn": n})["mcc"] == pytest.approx(1.0)


COARSE = arrays(np.float64, 14, elements=st.sampled_from([0.0, 0.2, 0.25, 0.7, 0.9, 1.0]))
TRUTH = arrays(np.bool_, 14)


@settings(max_examples=60, deadline=None)
@given(prob=COARSE, truth=TRUTH)
def test_auc_equals_pair_counting_and_ap_the_sum_over_thresholds(
    prob: np.ndarray, truth: np.ndarray
) -> None:
    found = ranking(prob, truth)
    positive, negative = prob[truth].tolist(), prob[~truth].tolist()
    if not positive or not negative or not any(0 < p < 1 for p in prob):
        assert math.isnan(found["auc"])
        assert math.isnan(found["ap"])
        return
    wins = sum(1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative)
    assert found["auc"] == pytest.approx(wins / (len(positive) * len(negative)))
    area, reached = 0.0, 0.0
    for threshold in sorted(set(prob.tolist()), reverse=True):
        tp = sum(p >= threshold for p in positive)
        fp = sum(n >= threshold for n in negative)
        area += (tp / len(positive) - reached) * tp / (tp + fp)
        reached = tp / len(positive)
    assert found["ap"] == pytest.approx(area)


def test_flipping_both_changes_nothing() -> None:
    # Thick vessels without sharp corners: thinning depends on the direction by a pixel elsewhere.
    reference = np.zeros((24, 24), dtype=bool)
    reference[4:9, 3:20] = reference[12:15, 5:18] = reference[4:20, 19:22] = True
    prob = np.where(reference, 0.7, 0.1) + 0.2 * np.random.default_rng(0).random((24, 24))
    fov = np.ones((24, 24), dtype=bool)
    fov[:, 0] = False
    plain = score(prob, reference, fov)
    flipped = score(prob[:, ::-1], reference[:, ::-1], fov[:, ::-1])
    for name in plain:
        assert plain[name] == pytest.approx(flipped[name], nan_ok=True), name


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_lies_outside_the_field_of_view_changes_nothing(seed: int) -> None:
    other = np.random.default_rng(seed)
    prob = np.where(FOV, PROB, other.random((16, 16)))
    reference = np.where(FOV, REFERENCE, other.random((16, 16)) < 0.5)
    plain, changed = score(PROB, REFERENCE, FOV, 0.4), score(prob, reference, FOV, 0.4)
    assert set(plain) == {*METRICS, "tp", "fp", "fn", "tn"}
    for name in plain:
        assert plain[name] == pytest.approx(changed[name], nan_ok=True), name


def test_whole_image_accuracy_is_no_lower_when_outside_is_empty() -> None:
    prob, reference = PROB * FOV, REFERENCE & FOV
    whole, inside = score(prob, reference, None, 0.4), score(prob, reference, FOV, 0.4)
    assert whole["acc"] >= inside["acc"]
    assert whole["f1"] == pytest.approx(inside["f1"])


def test_pooled_is_the_score_of_all_pixels() -> None:
    other = np.flip(REFERENCE)
    found = pooled([PROB, PROB], [REFERENCE, other], [FOV, ~FOV], 0.4)
    a, b = score(PROB, REFERENCE, FOV, 0.4), score(PROB, other, ~FOV, 0.4)
    expected = rates({name: a[name] + b[name] for name in COUNTS})
    assert found["f1"] == pytest.approx(expected["f1"])
    assert found["mcc"] == pytest.approx(expected["mcc"])


def test_undefined_metrics_are_nan() -> None:
    nothing = np.zeros((8, 8), dtype=bool)
    found = score(np.full((8, 8), 0.2), nothing)
    for name in ("f1", "se", "precision", "auc", "ap", "mcc", "cldice", "f1_1px", "se_thin"):
        assert math.isnan(found[name]), name
    assert found["sp"] == 1.0
    assert found["betti0_error"] == 0.0
    binary = score(REFERENCE.astype(float), REFERENCE)
    for name in ("auc", "ap", "ece", "brier"):
        assert math.isnan(binary[name]), name
    assert binary["f1"] == binary["cldice"] == binary["f1_1px"] == 1.0
    missed = score(np.full((16, 16), 0.2), REFERENCE)  # defined, and as bad as can be
    assert missed["f1"] == missed["cldice"] == missed["f1_1px"] == missed["se_thin"] == 0.0


def test_shapes_must_agree() -> None:
    with pytest.raises(DataError, match=r"\(16, 16\).*\(8, 8\)"):
        score(PROB, REFERENCE, np.ones((8, 8), dtype=bool))


def test_best_threshold_equals_a_search_over_all() -> None:
    threshold, f1 = best_threshold([PROB], [REFERENCE], [FOV], bins=100)
    by_hand = {k / 100: score(PROB, REFERENCE, FOV, k / 100)["f1"] for k in range(1, 100)}
    assert f1 == pytest.approx(max(by_hand.values()))
    assert by_hand[round(threshold, 6)] == pytest.approx(f1)
