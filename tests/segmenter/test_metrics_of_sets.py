"""Calibration, sets of images, and intervals over images, against plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from metric_helpers import pooled, score

from vesselforge.data.structure import widened
from vesselforge.segmenter.metrics.scores import (
    METRICS,
    Prediction,
    Regions,
    mean_interval,
    score_set,
)

RNG = np.random.default_rng(3)
PROBS = [RNG.random((14, 12)).astype(np.float32) ** 2 for _ in range(4)]
TRUTHS = [widened(RNG.random((14, 12)) < 0.08) for _ in range(4)]
FOVS = [RNG.random((14, 12)) < 0.8 for _ in range(4)]


@settings(max_examples=40, deadline=None)
@given(
    prob=arrays(np.float64, (4, 5), elements=st.floats(0, 1)),
    truth=arrays(np.bool_, (4, 5)),
)
def test_calibration_equals_loops(prob: np.ndarray, truth: np.ndarray) -> None:
    found = score(prob, truth)
    values = list(zip(prob.ravel().tolist(), truth.ravel().tolist(), strict=True))
    if not any(0 < p < 1 for p, _ in values):
        assert math.isnan(found["ece"])
        assert math.isnan(found["brier"])
        return
    bins: dict[int, list[tuple[float, bool]]] = {}
    for p, t in values:
        bins.setdefault(min(int(p * 15), 14), []).append((p, t))
    ece = sum(
        len(content)
        / len(values)
        * abs(sum(p for p, _ in content) / len(content) - sum(t for _, t in content) / len(content))
        for content in bins.values()
    )
    assert found["ece"] == pytest.approx(ece, abs=1e-12)
    assert found["brier"] == pytest.approx(sum((p - t) ** 2 for p, t in values) / len(values))


def test_a_calibrated_map_has_no_error_and_an_overconfident_one_has() -> None:
    rng = np.random.default_rng(0)
    prob = rng.random((300, 300))
    truth = rng.random((300, 300)) < prob
    assert score(prob, truth)["ece"] < 0.01
    bold = np.clip(1.6 * (prob - 0.5) + 0.5, 0.01, 0.99)
    assert score(bold, truth)["ece"] > 0.05


def test_a_set_is_the_scores_of_its_images_and_of_their_pool() -> None:
    predictions = [Prediction(p, f, 0.3) for p, f in zip(PROBS, FOVS, strict=True)]
    truths = [Regions(t, f) for t, f in zip(TRUTHS, FOVS, strict=True)]
    found = score_set(predictions, truths, bootstrap=100, seed=1)
    everything = [np.ones((14, 12), dtype=bool)] * 4
    for region, fovs in (("fov", FOVS), ("whole", everything)):
        each = [score(p, t, f, 0.3) for p, t, f in zip(PROBS, TRUTHS, fovs, strict=True)]
        for values, expected in zip(found.per_image[region], each, strict=True):
            assert set(values) == set(METRICS)
            for name in METRICS:
                assert values[name] == pytest.approx(expected[name], nan_ok=True), name
        together = pooled(PROBS, TRUTHS, fovs, 0.3)
        for name in METRICS:
            value = found.summary[region]["pooled"][name]
            expected = None if math.isnan(together[name]) else round(together[name], 6)
            assert value == expected, name
            mean = found.summary[region]["mean"][name]
            assert mean == mean_interval([e[name] for e in each], 100, 1)


def test_pooled_betti_numbers_are_nobodys() -> None:
    together = pooled(PROBS, TRUTHS, FOVS, 0.3)
    for name in ("betti0_error", "betti1_error", "components", "loops"):
        assert math.isnan(together[name])
    assert math.isfinite(together["auc"])


def test_a_prediction_may_be_scored_against_two_references() -> None:
    prediction = Prediction(PROBS[0], FOVS[0], 0.3)
    for truth in TRUTHS[:2]:
        found = score_set([prediction], [Regions(truth, FOVS[0])], bootstrap=100)
        expected = score(PROBS[0], truth, FOVS[0], 0.3)
        for name in METRICS:
            assert found.per_image["fov"][0][name] == pytest.approx(expected[name], nan_ok=True)


def test_a_field_of_view_that_is_all_gives_the_same_in_both_regions() -> None:
    everything = np.ones((14, 12), dtype=bool)
    found = score_set([Prediction(PROBS[0], everything)], [Regions(TRUTHS[0], everything)], 100)
    assert found.summary["fov"] == found.summary["whole"]


def test_ignored_pixels_are_in_no_region() -> None:
    ignored = np.zeros((14, 12), dtype=bool)
    ignored[:, 7:] = True
    prediction = Prediction(PROBS[0], FOVS[0], 0.3, ignored=ignored)
    found = score_set([prediction], [Regions(TRUTHS[0], FOVS[0], ignored)], bootstrap=100)
    for region, fov in (("fov", FOVS[0]), ("whole", np.ones((14, 12), dtype=bool))):
        expected = score(PROBS[0][:, :7], TRUTHS[0][:, :7], fov[:, :7], 0.3)
        for name in ("se", "sp", "acc", "f1", "mcc", "auc", "ap", "brier"):
            value = found.per_image[region][0][name]
            assert value == pytest.approx(expected[name]), (region, name)
    assert not prediction.regions.whole.mask[ignored].any()
