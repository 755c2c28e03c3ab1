"""Score tables mark a model that is not better than a constant answer; figures have their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vesselforge.pipeline.models.score_rows import (
    NOT_BETTER,
    constant_f1,
    figure_rows,
    is_not_better,
    score_rows,
)
from vesselforge.segmenter.metrics.scores import Prediction, Regions, score_set

RNG = np.random.default_rng(3)
TRUTH = RNG.random((64, 64)) < 0.13


def scores(guess: np.ndarray, truth: np.ndarray = TRUTH) -> dict[str, Any]:
    fov = np.ones_like(truth)
    found = score_set([Prediction(guess.astype(np.float32), fov, 0.5)], [Regions(truth, fov)])
    return {"threshold": 0.5} | found.summary


@pytest.mark.parametrize(
    ("guess", "worse"),
    [
        (np.ones_like(TRUTH), True),
        (np.zeros_like(TRUTH), True),
        (RNG.random((64, 64)) < 0.5, True),
        (~TRUTH, True),
        (TRUTH & (RNG.random((64, 64)) < 0.1), True),  # sure, and finds hardly anything
        (TRUTH & (RNG.random((64, 64)) < 0.3), False),
        (TRUTH, False),
        (np.roll(TRUTH, 1) | TRUTH, False),
    ],
)
def test_who_is_not_better_than_marking_every_pixel_is_marked(
    guess: np.ndarray, worse: bool
) -> None:
    found = scores(guess)
    constant = constant_f1(found["fov"]["pooled"])
    everything = scores(np.ones_like(TRUTH))["fov"]["pooled"]["f1"]
    assert constant is None or constant == pytest.approx(everything, abs=1e-4)
    assert is_not_better(found) is worse
    [row] = score_rows({"models": {"teacher": found}})
    assert row["model"] == (f"teacher ({NOT_BETTER})" if worse else "teacher")


def test_scores_that_do_not_tell_mark_nobody() -> None:
    assert not is_not_better({})
    assert not is_not_better({"fov": {"pooled": {"f1": 0.1, "se": None, "sp": 0.9}}})
    assert not is_not_better({"fov": {"pooled": {"f1": 0.1, "se": 0.5, "sp": 0.5, "acc": 0.5}}})
    # SE and SP equal: precision tells that a tenth is vessel.
    row = {"se": 0.5, "sp": 0.5, "acc": 0.5, "precision": 0.1}
    assert constant_f1(row) == pytest.approx(2 * 0.1 / 1.1)


def test_a_feature_extractor_is_called_what_it_is() -> None:
    rows = figure_rows({"fid": 1.5, "features": "random", "in_range": {"all": 0.1}})
    assert rows == [
        {"figure": "fid", "value": 1.5},
        {"figure": "features", "value": "untrained VGG"},
        {"figure": "in_range.all", "value": 0.1},
    ]
