"""The flow of a study of two folds, stages in this process: every image once, by its own fold."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest

from vesselforge.configs.study import StudyConfig
from vesselforge.data.datasets import load_settings
from vesselforge.data.imageset import write_png
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.flows.compare import compare_ratios
from vesselforge.pipeline.study.schema import PER_IMAGE, RESULTS, Results

pytestmark = pytest.mark.slow

Row = dict[str, str]
FOLDS = 2


def run(config: StudyConfig, workspace: Path) -> tuple[Results, list[Row], dict[str, Any]]:
    """Results, lines of per_image.csv, and the record."""
    folder = Path(compare_ratios(config, workspace=str(workspace))["run"])
    with (folder / PER_IMAGE).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    results = Results.model_validate_json((folder / RESULTS).read_text())
    return results, rows, json.loads((folder / "run.json").read_text())


def test_every_image_is_scored_once_by_the_models_of_its_fold(
    here: list[tuple[str, str]],
    planted: Callable[[str], None],
    tiny_study: Callable[..., StudyConfig],
    tmp_path: Path,
) -> None:
    planted("exact")
    for number in range(3):
        phantom = make_phantom(number, 64)
        write_png(tmp_path / "mine" / "images" / f"{number}.png", phantom.image)
        mask = phantom.mask.astype(np.uint8) * 255
        write_png(tmp_path / "mine" / "masks" / f"{number}.png", mask)

    def study(**data: int) -> StudyConfig:
        phantom = {"train": 3, "validation": 1, "test": 2, "size": 64, "seed": 0}
        return tiny_study(
            name="-".join(["folds", *map(str, data.values())]),
            data={"phantom": phantom, **data},
            arms={"counts": [2], "orders": ["mixed"], "seeds": [0]},
            external=[{"name": "paired", "root": str(tmp_path / "mine")}],
        )

    config = study(folds=FOLDS)
    results, rows, record = run(config, tmp_path)

    assert results.folds == [2, 2] and results.content.keys() == {
        "phantom, fold 0",
        "phantom, fold 1",
        "paired",
    }
    own = Counter((r["arm"], r["seed"], r["image"]) for r in rows if r["set"] == "phantom")
    assert len(own) == 2 * 6 and set(own.values()) == {1}  # arms, all images
    assert {effect.images for arm in results.arms for effect in arm.effects} == {6, 3}
    assert all(len(each.folds) == FOLDS for arm in results.arms for each in arm.runs)
    assert [s.origin for s in results.synthetic] == [
        f"stylegan2, 2 real images, seed 0, fold {fold}" for fold in range(FOLDS)
    ]
    assert "fold 0" in results.samples[0].caption
    roles = record["arms"][-1]["artifacts"]
    assert roles["scores on phantom"][0] == "segmenter.pool" and "scores on paired" not in roles
    assert {"fold-0/student", "fold-1/selection", "fold-1/scores on paired"} <= roles.keys()

    here.clear()
    single = [run(study(folds=FOLDS, fold=fold), tmp_path)[1] for fold in range(FOLDS)]
    assert here == []  # all of it was there: each fold is what it is alone
    values = {key(row): [float(s[key(row)]["f1"]) for s in map(by_key, single) if key(row) in s]
              for row in rows}  # fmt: skip
    tested = {i.id for fold in config.data.each_fold() for i in load_settings(fold).split("test")}
    assert {row["image"] for row in rows if row["set"] == "phantom"} == tested
    for row in rows:
        there = values[key(row)]
        assert len(there) == (1 if row["set"] == "phantom" else FOLDS)
        assert float(row["f1"]) == pytest.approx(mean(there), abs=1e-6)


def key(row: Row) -> tuple[str, ...]:
    return row["arm"], row["seed"], row["set"], row["image"]


def by_key(rows: list[Row]) -> dict[tuple[str, ...], Row]:
    return {key(row): row for row in rows}
