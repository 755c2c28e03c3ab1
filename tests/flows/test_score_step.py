"""The scoring step: what it depends on, and what it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from configs.errors import DataError
from configs.settings import PipelineConfig
from data.store import Artifact
from flows.checks import check_inputs
from flows.score import _cache_folder
from flows.single import _reach
from flows.steps import Steps


class Recorded:
    """Makes nothing, and remembers what was asked for."""

    def __init__(self, tmp_path: Path) -> None:
        self.made: list[str] = []
        self.inputs: dict[str, dict[str, Artifact]] = {}
        self.outside: dict[str, dict[str, str]] = {}
        self.root = tmp_path / "workspace" / "store"

    def __call__(self, step: str, kind: str, settings, inputs, outside=None) -> Artifact:
        self.made.append(step)
        self.inputs[kind], self.outside[kind] = dict(inputs), dict(outside or {})
        return Artifact(self.root / kind / "abc", {"kind": kind, "digest": step, "metrics": {}})


def scored(tmp_path: Path, **score: Any) -> Recorded:
    produce = Recorded(tmp_path)
    _reach("scores", Steps(PipelineConfig(score=score), produce, lambda: "hash"))
    return produce


def test_the_teacher_is_trained_for_its_own_features_alone(tmp_path):
    asked = scored(tmp_path)
    assert "teacher" in asked.made
    assert asked.inputs["generator.score"].keys() == {"samples", "images", "teacher"}
    for features in ("random", "inception"):
        asked = scored(tmp_path, features=features)
        assert "teacher" not in asked.made
        assert asked.inputs["generator.score"].keys() == {"samples", "images"}


@pytest.mark.parametrize("name", ["path_length_pairs", "published_draws", "critic"])
def test_the_generator_is_an_input_when_it_is_drawn_from(tmp_path, name):
    asked = scored(tmp_path, features="random", **{name: 1})
    assert asked.inputs["generator.score"].keys() == {"samples", "images", "generator"}


def test_the_content_of_files_is_what_scores_depend_on(tmp_path):
    digests = set()
    for name in ("a.pt", "b.pt"):
        (tmp_path / name).write_text(name)
        asked = scored(tmp_path, features="random", lpips_file=tmp_path / name)
        digests.add(asked.outside["generator.score"]["lpips_file"])
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
