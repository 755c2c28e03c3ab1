"""The flow of a study, stages in this process: what is trained again, what fails and is told."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from studied import Studied

from vesselforge.configs.study import StudyConfig
from vesselforge.data.imageset import write_png
from vesselforge.data.phantoms.draw import make_phantom
from vesselforge.engine.artifacts import Stage
from vesselforge.flows.compare import compare_ratios
from vesselforge.pipeline.stages import STAGES
from vesselforge.pipeline.study import study_works
from vesselforge.pipeline.study.schema import PER_IMAGE, RESULTS, Results

pytestmark = pytest.mark.slow

Build = Callable[..., StudyConfig]
Made = list[tuple[str, str]]


def run(config: StudyConfig, workspace: Path) -> tuple[Results, dict[str, Any]]:
    made = compare_ratios(config, workspace=str(workspace))
    return results_of(made), made


def results_of(made: dict[str, Any]) -> Results:
    return Results.model_validate_json((Path(made["run"]) / RESULTS).read_text())


@pytest.fixture
def quick(planted: Callable[[str], None], tiny_study: Build) -> Build:
    """Tiny studies with planted images; students of two steps."""
    planted("exact")
    return tiny_study


def test_a_study_trains_what_differs_once_and_a_new_count_its_own_arms_alone(
    here: Made, quick: Build, studied: Studied, tmp_path: Path
) -> None:
    results, made = results_of(studied.told), studied.told

    assert [arm.id for arm in results.arms] == [
        "4-real-only-two-phases",
        "4-real-2-stylegan2-synthetic-first",
        "4-real-4-stylegan2-synthetic-first",
    ]
    assert made["failed"] == [] and results.headline == made["headline"]
    first = Counter(kind for kind, _ in studied.made)
    assert first["segmenter.train"] == 1 + 2 * (2 + 2 * 2)  # teacher, real only, two arms
    assert len(studied.made) == len(set(studied.made))

    shutil.copytree(studied.workspace, tmp_path, dirs_exist_ok=True)
    run(quick(), tmp_path)
    assert here == []

    arms = {"counts": [0, 2, 3, 4], "orders": ["synthetic-first"], "seeds": [0, 1]}
    results, _ = run(quick(arms=arms), tmp_path)

    again = Counter(kind for kind, _ in here)
    assert again["segmenter.train"] == 2 * 2
    assert again["data.subset"] == 1
    assert again["segmenter.evaluate"] == 2
    assert set(again) == {"segmenter.train", "data.subset", "segmenter.evaluate"}
    assert first["generator.score"] == 1  # of the most that an arm takes
    assert [arm.count for arm in results.arms] == [0, 2, 3, 4]


def test_results_are_those_of_the_scored_images(studied: Studied) -> None:
    results, made = results_of(studied.told), studied.told

    with (Path(made["run"]) / PER_IMAGE).open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * 2 * 4  # arms, seeds, test images; one observer
    values = {(row["arm"], row["seed"], row["image"]): float(row["f1"]) for row in rows}
    for arm in results.arms:
        (effect,) = arm.effects
        own = [value for (arm_id, *_), value in values.items() if arm_id == arm.id]
        assert effect.level[0] == pytest.approx(sum(own) / len(own), abs=1e-6)
        if arm.baseline:
            paired = [
                value - values[arm.baseline, *where]
                for (arm_id, *where), value in values.items()
                if arm_id == arm.id
            ]
            assert effect.mean == pytest.approx(sum(paired) / len(paired), abs=1e-6)
            assert effect.p_holm is not None
    best = {s.arm: s.level[0] for s in results.secondary if s.metric == "f1_best"}
    for arm in results.arms:
        own = [float(row["f1_best"]) for row in rows if row["arm"] == arm.id]
        assert best[arm.id] == pytest.approx(sum(own) / len(own), abs=1e-6)
    record = json.loads((Path(made["run"]) / "run.json").read_text())
    assert record["status"] == "completed" and record["flow"] == "compare-ratios"
    assert [line["status"] for line in record["arms"]] == ["completed"] * 6


def test_too_few_kept_images_fail_their_arms_alone(
    here: Made, quick: Build, studied: Studied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_works, "MOST_POOLS", 1)
    config = quick(synthetic={"pool": 3})  # 3 images, and arms of 2 and of 4

    state = compare_ratios(config, workspace=str(studied.store(tmp_path)), return_state=True)

    assert state.is_completed() and state.name == "PartlyFailed"
    made = state.result()
    assert made["failed"] == [f"4-real-4-stylegan2-synthetic-first, seed {seed}" for seed in (0, 1)]
    results = Results.model_validate_json((Path(made["run"]) / RESULTS).read_text())
    status = {arm.count: {run.status for run in arm.runs} for arm in results.arms}
    assert status == {0: {"completed"}, 2: {"completed"}, 4: {"failed"}}
    (why,) = {run.message for run in results.arms[2].runs}
    assert "only 3 of 3 synthetic images were kept, 4 are needed" in why
    assert results.arms[1].effects[0].mean is not None


def test_pools_are_drawn_until_enough_images_are_kept(
    here: Made, quick: Build, planted: Callable[[str], None], studied: Studied, tmp_path: Path
) -> None:
    planted("stingy")  # one image of every pool

    results, made = run(quick(synthetic={"pool": 3}), studied.store(tmp_path))

    assert made["failed"] == []
    (given,) = results.synthetic
    assert (given.drawn, given.kept, given.reasons) == (12, 4, {"mood": 8})
    assert Counter(kind for kind, _ in here)["segmenter.pseudo-label"] == 4


def test_a_generator_that_fails_leaves_the_real_only_arms(
    here: Made, quick: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = quick()
    broken = Stage("generator.train", 103, "planted:broken", STAGES["generator.train"].settings)
    monkeypatch.setitem(STAGES, "generator.train", broken)

    state = compare_ratios(config, workspace=str(tmp_path), return_state=True)

    made = state.result()
    results = Results.model_validate_json((Path(made["run"]) / RESULTS).read_text())
    assert {r.status for r in results.arms[0].runs} == {"completed"}
    for arm in results.arms[1:]:
        assert {r.status for r in arm.runs} == {"failed"}
        assert all("the loss is nan" in r.message for r in arm.runs)
    assert len(made["failed"]) == 4
    here.clear()

    # Mended, the same command makes what is missing, and nothing else again.
    mended = Stage("generator.train", 101, "planted:no_generator", broken.settings)
    monkeypatch.setitem(STAGES, "generator.train", mended)
    results, made = run(config, tmp_path)

    assert made["failed"] == []
    kinds = Counter(kind for kind, _ in here)
    assert "data.prepare" not in kinds
    assert kinds["segmenter.train"] == 2 * 2 * 2  # the arms', not the teacher or the real-only ones


def test_a_learning_curve_compares_within_the_same_number_of_real_images(
    here: Made, quick: Build, tmp_path: Path
) -> None:
    arms = {"counts": [2], "orders": ["mixed"], "seeds": [0, 1], "real_images": [2, 4]}

    results, _ = run(quick(arms=arms), tmp_path)

    pairs = {arm.id: arm.baseline for arm in results.arms if arm.baseline}
    assert pairs == {
        "2-real-2-stylegan2-mixed": "2-real-only",
        "4-real-2-stylegan2-mixed": "4-real-only",
    }
    assert [s.origin for s in results.synthetic] == [
        "stylegan2, 2 real images, seed 0",
        "stylegan2, 4 real images, seed 0",
    ]


def test_external_sets_are_scored_and_named(here: Made, quick: Build, tmp_path: Path) -> None:
    images = tmp_path / "mine"
    for number in range(8):
        phantom = make_phantom(number, 64)
        write_png(images / "images" / f"{number}.png", phantom.image)
        write_png(images / "masks" / f"{number}.png", phantom.mask.astype(np.uint8) * 255)
    config = quick(
        arms={"counts": [2], "orders": ["mixed"], "seeds": [0, 1]},
        external=[{"name": "paired", "root": str(images)}],
    )

    results, _ = run(config, tmp_path)

    assert {place.set for place in results.places} == {"phantom", "paired"}
    assert results.primary.set == "phantom"
    for arm in results.arms:
        assert {effect.place.set for effect in arm.effects} == {"phantom", "paired"}
