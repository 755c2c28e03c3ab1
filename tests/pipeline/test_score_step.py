"""The scoring step: what it depends on, and what it does not."""

from __future__ import annotations

from typing import Any

from vesselforge.configs.settings import PipelineConfig
from vesselforge.pipeline.graph import Work, closure
from vesselforge.pipeline.run.run_works import run_works


def scored(**score: Any) -> Work:
    return run_works(PipelineConfig.model_validate({"score": score})).until("scores")


def test_the_teacher_is_trained_for_its_own_features_alone() -> None:
    assert scored().inputs.keys() == {"samples", "images", "teacher"}
    for features in ("random", "inception"):
        work = scored(features=features)
        assert "segmenter.train" not in {needed.kind for needed in closure([work]).values()}
        assert work.inputs.keys() == {"samples", "images"}
