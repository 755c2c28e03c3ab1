"""The scoring step: what it depends on, and what it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import PipelineConfig
from vesselforge.pipeline.graph import Work, closure
from vesselforge.pipeline.input_checks import check_inputs
from vesselforge.pipeline.run_works import run_works


def scored(**score: Any) -> Work:
    return run_works(PipelineConfig.model_validate({"score": score})).until("scores")


def test_the_teacher_is_trained_for_its_own_features_alone() -> None:
    assert scored().inputs.keys() == {"samples", "images", "teacher"}
    for features in ("random", "inception"):
        work = scored(features=features)
        assert "segmenter.train" not in {needed.kind for needed in closure([work]).values()}
        assert work.inputs.keys() == {"samples", "images"}


def test_the_content_of_files_is_what_scores_depend_on(tmp_path: Path) -> None:
    digests = set()
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_text(name)
        work = scored(features="inception", features_file=tmp_path / name)
        digests.add(work.outside["features_file"])
    assert len(digests) == 2


def test_absent_files_are_named_before_any_work(tmp_path):
    config = PipelineConfig(score={"features_file": tmp_path / "absent.pt"})
    with pytest.raises(DataError, match=r"score\.features_file: .*absent\.pt: no such file"):
        check_inputs(config, tmp_path / "workspace")
