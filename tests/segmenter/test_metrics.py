"""Every metric against a brute-force reference, and properties that must hold."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from configs.errors import DataError
from segmenter.metrics import best_threshold, cl_dice, from_counts, pooled, score

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


def test_auc_equals_pair_counting() -> None:
    positive, negative = PROB[REFERENCE & FOV], PROB[~REFERENCE & FOV]
    wins = sum(1.0 if p > n else 0.5 if p == n else 0.0 for p in positive for n in negative)
    found = score(PROB, REFERENCE, FOV)["auc"]
    assert found == pytest.approx(wins / (len(positive) * len(negative)))


def test_average_precision_equals_the_sum_over_ranks() -> None:
    order = np.argsort(-PROB[FOV])
    truth = REFERENCE[FOV][order]
    hits = np.cumsum(truth)
    expected = np.mean([hits[k] / (k + 1) for k in range(len(truth)) if truth[k]])
    assert score(PROB, REFERENCE, FOV)["ap"] == pytest.approx(expected)


def test_flipping_both_changes_nothing() -> None:
    plain = score(PROB, REFERENCE, FOV)
    flipped = score(PROB[:, ::-1], REFERENCE[:, ::-1], FOV[:, ::-1])
    for name in plain:
        if name != "cldice":  # thinning depends on the direction by a pixel
            assert plain[name] == pytest.approx(flipped[name])


def test_whole_image_accuracy_is_no_lower_when_outside_is_empty() -> None:
    prob, reference = PROB * FOV, REFERENCE & FOV
    whole, inside = score(prob, reference, None, 0.4), score(prob, reference, FOV, 0.4)
    assert whole["acc"] >= inside["acc"]
    assert whole["f1"] == pytest.approx(inside["f1"])


def test_pooled_is_the_score_of_all_pixels() -> None:
    other = np.flip(REFERENCE)
    found = pooled([PROB, PROB], [REFERENCE, other], [FOV, ~FOV], 0.4)
    a, b = score(PROB, REFERENCE, FOV, 0.4), score(PROB, other, ~FOV, 0.4)
    expected = from_counts(*(int(a[n] + b[n]) for n in ("tp", "fp", "fn", "tn")))
    assert found["f1"] == pytest.approx(expected["f1"])
    assert found["mcc"] == pytest.approx(expected["mcc"])


def test_cl_dice_of_a_line_with_a_gap() -> None:
    line = np.zeros((21, 41), dtype=bool)
    line[10, 5:35] = True
    broken = line.copy()
    broken[10, 15:21] = False
    assert cl_dice(line, line) == 1.0
    sensitivity = 24 / 30
    assert cl_dice(broken, line) == pytest.approx(2 * sensitivity / (1 + sensitivity))


def test_undefined_metrics_are_nan() -> None:
    nothing = np.zeros((8, 8), dtype=bool)
    found = score(np.full((8, 8), 0.2), nothing)
    for name in ("f1", "se", "precision", "auc", "mcc", "cldice"):
        assert math.isnan(found[name]), name
    assert found["sp"] == 1.0
    binary = score(REFERENCE.astype(float), REFERENCE)
    assert math.isnan(binary["auc"])
    assert binary["f1"] == 1.0


def test_shapes_must_agree() -> None:
    with pytest.raises(DataError, match=r"\(16, 16\).*\(8, 8\)"):
        score(PROB, REFERENCE, np.ones((8, 8), dtype=bool))


def test_best_threshold_equals_a_search_over_all() -> None:
    threshold, f1 = best_threshold([PROB], [REFERENCE], [FOV], bins=100)
    by_hand = {k / 100: score(PROB, REFERENCE, FOV, k / 100)["f1"] for k in range(1, 100)}
    assert f1 == pytest.approx(max(by_hand.values()))
    assert by_hand[round(threshold, 6)] == pytest.approx(f1)
