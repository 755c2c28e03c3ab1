"""Every rule of an ensemble against a slow and plain one."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
from ensemble_rules import RULES, VOTES
from pydantic import TypeAdapter

from vesselforge.segmenter.combine import MEAN, Rule, combine
from vesselforge.segmenter.metrics.probabilities import ranking

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("method", VOTES)
@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_vote_decides_as_its_truth_table(method: str, count: int) -> None:
    thresholds = RNG.uniform(0.05, 0.95, count)
    rule = Rule(method, thresholds=tuple(thresholds))
    for votes in product([False, True], repeat=count):
        draws = RNG.random((count, 1, 50))
        above = thresholds[:, None, None] + draws * (1 - thresholds[:, None, None])
        probs = np.where(np.array(votes)[:, None, None], above, draws * thresholds[:, None, None])
        decided = combine(rule, probs.astype("f4")) >= 0.5
        assert decided.shape == (1, 50)
        assert (decided == VOTES[method](votes)).all(), votes


def test_a_vote_is_exact_next_to_its_thresholds() -> None:
    """Rounding must not turn the largest number below a threshold into a vote."""
    thresholds = RNG.uniform(0.002, 0.998, 800).astype("f4")
    for threshold in thresholds:
        near = np.array([np.nextafter(threshold, 0), threshold, np.nextafter(threshold, 1)], "f4")
        for method in VOTES:
            found = combine(Rule(method, thresholds=(float(threshold),)), near[None, None])[0]
            assert list(found >= 0.5) == [False, True, True], threshold
            assert found.min() >= 0 and found.max() <= 1


def test_a_map_of_one_member_keeps_its_order() -> None:
    prob = RNG.beta(0.4, 1.5, (1, 60, 70)).astype("f4")
    truth = RNG.random((60, 70)) < prob[0]
    wanted = ranking(prob[0].ravel(), truth.ravel())
    for method, rule in (("mean", MEAN), *((m, Rule(m, thresholds=(0.17,))) for m in VOTES)):
        found = combine(rule, prob)
        order = np.argsort(prob.ravel())
        assert (np.diff(found.ravel()[order]) >= 0).all(), method
        assert ranking(found.ravel(), truth.ravel()) == pytest.approx(wanted, abs=1e-6)


def test_rules_by_hand() -> None:
    probs = RNG.random((3, 9, 11)).astype("f4")
    found = {method: combine(rule, probs) for method, rule in RULES.items()}
    np.testing.assert_allclose(found["mean"], probs.mean(0), atol=1e-6)
    own = np.empty((3, 9, 11))
    for i, t in enumerate((0.3, 0.5, 0.62)):
        own[i] = np.interp(probs[i], [0, t, 1], [0, 0.5, 1])
    np.testing.assert_allclose(found["or"], own.max(0), atol=1e-6)
    np.testing.assert_allclose(found["and"], own.min(0), atol=1e-6)
    np.testing.assert_allclose(found["majority"], np.median(own, axis=0), atol=1e-6)
    for method, rule in RULES.items():
        assert found[method].dtype == np.float32
        sure = combine(rule, np.stack([np.zeros((2, 3)), np.ones((2, 3)), np.ones((2, 3))]))
        assert np.isfinite(sure).all() and sure.min() >= 0 and sure.max() <= 1
        assert TypeAdapter(Rule).validate_json(json.dumps(asdict(rule))) == rule
    with pytest.raises(ValueError, match="found 2 maps for a rule of 3 members"):
        combine(RULES["or"], probs[:2])
