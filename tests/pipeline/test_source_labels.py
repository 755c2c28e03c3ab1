"""Filters and the kind of labels that a source gives fit each other, or it is said beforehand."""

from __future__ import annotations

from typing import Any

import pytest

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import PipelineConfig
from vesselforge.pipeline.sources import source_of

THRESHOLD = {"threshold": 0.4}


@pytest.mark.parametrize(
    ("source", "filters", "message"),
    [
        (
            {"kind": "phantom"},
            THRESHOLD,
            "source phantom: labels: own asks no teacher, found threshold",
        ),
        (
            {"kind": "phantom", "labels": "agreement"},
            {"pixel_weights": "certainty"},
            "source phantom: labels: agreement has weights of its own",
        ),
        ({"kind": "phantom", "labels": "agreement"}, THRESHOLD, None),
        ({"kind": "phantom", "labels": "teacher"}, THRESHOLD, None),
        ({"kind": "phantom", "filters": {"min_vessel_share": 0.02}}, THRESHOLD, None),
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
