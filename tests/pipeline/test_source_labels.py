"""Filters and the kind of labels that a source gives fit each other, or it is said beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.study import StudyConfig
from vesselforge.pipeline.sources import source_of
from vesselforge.pipeline.study.study_works import source_by_name

WEIGHTS = {"pixel_weights": "certainty"}


@pytest.mark.parametrize(
    ("source", "filters", "message"),
    [
        (
            {"kind": "phantom"},
            WEIGHTS,
            "source phantom: labels: own asks no teacher, found pixel_weights: certainty",
        ),
        (
            {"kind": "phantom", "labels": "agreement"},
            WEIGHTS,
            "source phantom: labels: agreement has weights of its own",
        ),
        ({"kind": "phantom", "labels": "teacher"}, WEIGHTS, None),
        ({"kind": "phantom"}, {"min_confidence": 0.7, "real_range": 0.98}, None),
    ],
)
def test_filters_that_ask_a_teacher_need_one(
    source: dict[str, Any], filters: dict[str, Any], message: str | None
) -> None:
    config = PipelineConfig.model_validate({"source": source, "pseudo_label": filters})
    if message is None:
        source_of(config.source, config)
        return
    with pytest.raises(ConfigError, match=message):
        source_of(config.source, config)


def test_filters_of_a_source_go_before_the_studys(tiny_study: Callable[..., StudyConfig]) -> None:
    config = tiny_study(
        sources={"a": "phantom", "b": "phantom"},
        pseudo_label=WEIGHTS | {"min_confidence": 0.7},
        filters={"a": {"min_vessel_share": 0.02}},
    )
    assert source_by_name(config, "a").filters.min_vessel_share == 0.02
    with pytest.raises(ConfigError, match="labels: own asks no teacher, found pixel_weights"):
        source_by_name(config, "b")
