"""The measurement of scoring runs, and scores what it says."""

from __future__ import annotations

import numpy as np
import pytest
from metric_helpers import pooled

from benchmarks import scoring
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.segmenter.metrics.scores import METRICS


def test_scoring_is_timed_on_maps_worth_scoring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "SHAPE", (96, 90))
    images = scoring.phantoms(2)
    assert [reference.shape for reference, _ in images] == [(96, 90)] * 2
    np.testing.assert_array_equal(images[1][0], make_phantom(1, 96).mask[:, :90])
    cases = scoring.cases_of(images)
    found = scoring.measure(cases)
    assert (found["images"], found["metrics"], found["regions"]) == (2, len(METRICS), 2)
    assert found["seconds"] >= 0
    references, fovs, probs = zip(*cases, strict=True)
    assert found["f1"] == pytest.approx(pooled(probs, references, fovs, 0.4)["f1"], abs=1e-6)
    assert 0.5 < found["f1"] < 1


def test_what_is_enlarged_is_the_same_eye() -> None:
    eye = make_phantom(1, 96)
    case = scoring.cases_of([(eye.mask, eye.fov)])[0]
    large = scoring.enlarged(case, 4)
    assert [part.shape for part in large] == [(384, 384)] * 3
    assert [part.mean() for part in large] == pytest.approx([p.mean() for p in case], rel=0.05)
    assert large[2].min() >= 0 and large[2].max() <= 1
