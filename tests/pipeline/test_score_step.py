"""The scoring step: what it depends on, and what it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vesselforge.configs.errors import DataError
from vesselforge.configs.settings import PipelineConfig
from vesselforge.engine.artifacts import Artifact
from vesselforge.pipeline.graph import Work, closure
from vesselforge.pipeline.input_checks import check_inputs
from vesselforge.pipeline.run_works import run_works
from vesselforge.pipeline.score_stage import _cache_folder


def scored(**score: Any) -> Work:
    return run_works(PipelineConfig.model_validate({"score": score})).until("scores")


def test_the_teacher_is_trained_for_its_own_features_alone() -> None:
    assert scored().inputs.keys() == {"samples", "images", "teacher"}
    for features in ("random", "inception"):
        work = scored(features=features)
        assert "segmenter.train" not in {needed.kind for needed in closure([work]).values()}
        assert work.inputs.keys() == {"samples", "images"}


def test_the_generator_is_an_input_when_it_is_drawn_from(tmp_path: Path) -> None:
    (tmp_path / "vgg16.pt").write_text("LPIPS")
    work = scored(features="random", path_length_pairs=1, lpips_file=tmp_path / "vgg16.pt")
    assert work.inputs.keys() == {"samples", "images", "generator"}


def test_the_content_of_files_is_what_scores_depend_on(tmp_path: Path) -> None:
    digests = set()
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_text(name)
        work = scored(features="random", lpips_file=tmp_path / name)
        digests.add(work.outside["lpips_file"])
    assert len(digests) == 2


@pytest.mark.parametrize("name", ["features_file", "lpips_file"])
def test_absent_files_are_named_before_any_work(tmp_path, name):
    config = PipelineConfig(score={name: tmp_path / "absent.pt"})
    with pytest.raises(DataError, match=rf"score\.{name}: .*absent\.pt: no such file"):
        check_inputs(config, tmp_path / "workspace")


def test_features_are_cached_in_the_workspace(tmp_path):
    images = tmp_path / "workspace" / "store" / "data.prepare" / "abc"
    assert _cache_folder(Artifact(images, {})) == tmp_path / "workspace" / "cache" / "features"
    assert _cache_folder(Artifact(tmp_path / "elsewhere" / "x" / "y", {})) is None
