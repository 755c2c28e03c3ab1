"""Runs and studies whose synthetic images bring masks of their own: no generator, no teacher."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vesselforge.configs.load import validate
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.study import StudyConfig
from vesselforge.data.imageset import read_index
from vesselforge.engine.store import Store
from vesselforge.flows.compare import compare_ratios
from vesselforge.flows.run import augmentation_pipeline

Made = list[tuple[str, str]]
DRAWN = {"kind": "phantom", "appearance": "generic", "size": 64}
OPEN = {"min_vessel_share": 0, "max_vessel_share": 1}


def test_phantoms_go_through_a_run(here: Made, tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "name": "drawn",
        "data": {"phantom": {"train": 3, "validation": 2, "test": 2, "size": 64}},
        "source": DRAWN,
        "sample": {"count": 4},
        "order": "mixed",
        "teacher": {"steps": 2, "batch": 2, "crop": 32, "validate_every": 2},
        "pseudo_label": OPEN,
        "score": {"real_views": 4, "kid_subset_size": 2},
        "evaluate": {"bootstrap": 100},
    }
    config = validate(PipelineConfig, values, "drawn")

    made: Any = augmentation_pipeline(config, workspace=str(tmp_path))

    record = json.loads((Path(made["run"]) / "run.json").read_text())
    (round_,) = record["artifacts"]["rounds"]
    assert round_["samples"][0] == "data.phantom" and "generator" not in round_
    kinds = [kind for kind, _ in here]
    assert kinds.count("segmenter.train") == 2 and "generator.train" not in kinds
    labelled = Store(tmp_path).find(*round_["labelled"])
    assert labelled is not None
    assert (labelled.metrics["kept"], labelled.metrics["rejected"]) == (4, 0)
    samples = Store(tmp_path).folder(*round_["samples"])
    for drawn in read_index(samples):  # the masks of the source are the labels
        assert drawn.mask is not None
        assert (labelled.path / drawn.mask).read_bytes() == (samples / drawn.mask).read_bytes()
    # Two phases as one: the settings of the first, the steps of both.
    student = Store(tmp_path).find(*round_["student"])
    assert student is not None and student.manifest["settings"]["steps"] == 4
    assert student.manifest["inputs"].keys() == {"images", "synthetic"}


def test_two_sources_of_a_kind_go_through_a_study(
    here: Made, tiny_study: Callable[..., StudyConfig], tmp_path: Path
) -> None:
    config = tiny_study(
        sources={"plain": DRAWN, "strange": DRAWN | {"randomise": 1.0}},
        arms={"counts": [3], "orders": ["mixed"], "seeds": [0]},
        pseudo_label=OPEN,
    )

    made: Any = compare_ratios(config, workspace=str(tmp_path))

    assert made["failed"] == []
    results = json.loads((Path(made["run"]) / "results.json").read_text())
    assert [arm["id"] for arm in results["arms"]] == [
        "4-real-only-both",
        "4-real-3-plain-mixed-both",
        "4-real-3-strange-mixed-both",
    ]
    assert [arm["source"] for arm in results["arms"]] == [None, "plain", "strange"]
    kinds = [kind for kind, _ in here]
    assert kinds.count("data.phantom") == 2 and "generator.train" not in kinds
