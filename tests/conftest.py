"""What tests of more than one room share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from vesselforge.configs.load import SHIPPED
from vesselforge.configs.study import StudyConfig


@pytest.fixture
def tiny_study() -> Callable[..., StudyConfig]:
    """The quickstart study, as small as it can be, with changes to groups of its settings."""

    def build(**changes: Any) -> StudyConfig:
        values = yaml.safe_load((SHIPPED / "compare-quickstart.yaml").read_text())
        phantom = {"train": 4, "validation": 2, "test": 4, "size": 64, "seed": 0}
        fit = {"steps": 2, "batch": 2, "crop": 32, "validate_every": 2}
        gan = {"kimg": 0.016, "snapshot_kimg": 0.016, "channel_base": 64, "latent": 8}
        small: dict[str, Any] = {
            "name": "tiny",
            "data": {"phantom": phantom},
            "arms": {"counts": [0, 2, 4], "orders": ["synthetic-first"], "seeds": [0, 1]},
            "teacher": fit | {"steps": 3},
            "generator": gan,
            "synthetic": {"pool": 3},
            "score": {"real_views": 4, "kid_subset_size": 2, "kid_subsets": 2},
            "first": fit,
            "second": fit,
            "ensembles": [],
            "evaluate": {"bootstrap": 100},
            "statistics": {"bootstrap": 300},
            "execution": {"workers": 1},
        }
        for given in (small, changes):
            for name, value in given.items():
                old = values.get(name)
                merge = isinstance(value, dict) and isinstance(old, dict)
                values[name] = old | value if merge else value
        return StudyConfig.model_validate(values)

    return build
