"""A cross-validated study, planned: each fold as if it were compared alone, and pooled scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from study_alone import everything, study_works
from typer.testing import CliRunner

from vesselforge.cli.main import main
from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import PrepareSettings, SubsetSettings
from vesselforge.configs.study import StudyConfig
from vesselforge.data.datasets import load_settings
from vesselforge.pipeline.graph import Work, closure
from vesselforge.pipeline.input_checks import check_study
from vesselforge.pipeline.study.study_plan import study_plan

Build = Callable[..., StudyConfig]
FOLDS = 3
TRAINING = [5, 6, 6]
"""Of the ten phantoms of the tiny study, in each fold; 4, 3 and 3 are the test."""


def folds(build: Build, **changes: Any) -> StudyConfig:
    return build(data={"folds": FOLDS}, **changes)


def alone(config: StudyConfig, fold: int) -> StudyConfig:
    return StudyConfig.model_validate(
        config.model_dump() | {"data": config.data.model_dump() | {"fold": fold}}
    )


@pytest.mark.parametrize("real_images", [[], [2, 5]])
def test_it_is_the_work_of_its_folds_alone_and_pooled_scores(
    tiny_study: Build, real_images: list[int]
) -> None:
    config = folds(tiny_study, arms={"counts": [2], "real_images": real_images})
    single = [study_works(alone(config, fold)) for fold in range(FOLDS)]
    assert [works.available for works in single] == TRAINING

    whole = closure(study_plan(config).everything())

    union = closure(work for works in single for work in everything(works))
    pools = [work for work in whole.values() if work.kind == "segmenter.pool"]
    assert whole.keys() == union.keys() | {work.digest for work in pools}
    arms = 2 * len(real_images or [1])  # real only, and 2 synthetic images
    assert len(pools) == arms * len(config.arms.seeds)
    evaluated = {work.digest for work in union.values() if work.kind == "segmenter.evaluate"}
    pooled = [work.digest for pool in pools for work in pool.inputs.values()]
    assert len(pooled) == len(set(pooled)) and set(pooled) == evaluated


def test_a_pool_has_one_arm_and_seed_of_every_fold_and_each_image_once(tiny_study: Build) -> None:
    config = folds(tiny_study)
    for pool in closure(study_plan(config).everything()).values():
        if pool.kind != "segmenter.pool":
            continue
        name = pool.step.removesuffix(", all folds")
        tested: list[str] = []
        for fold, (role, work) in enumerate(pool.inputs.items()):
            assert role == f"fold-{fold:02d}"
            real = f"{TRAINING[0]} real", f"{TRAINING[fold]} real"
            assert work.step == f"{name.replace(*real)}, fold {fold}"
            settings = work.inputs["test"].settings
            assert isinstance(settings, PrepareSettings)
            tested += [item.id for item in load_settings(settings.data).split("test")]
        assert len(tested) == len(set(tested)) == 10


def test_a_fold_sees_its_own_images_alone_and_steps_say_which(tiny_study: Build) -> None:
    sources = {"gan": "stylegan2", "fitted": {"kind": "phantom"}, "rest": "unlabelled"}
    plan = study_plan(
        folds(tiny_study, sources=sources, arms={"real_images": [2]}, synthetic={"pool": 9})
    )
    works = closure(plan.everything()).values()
    assert len({work.step for work in works}) == len(works)
    for number, fold in enumerate(plan.folds):
        for work in closure(everything(fold)).values():
            assert f", fold {number}" in work.step
            if isinstance(work.settings, PrepareSettings):
                assert work.settings.data.fold == number


def test_folds_of_different_sizes_have_the_same_arms(tiny_study: Build) -> None:
    sources = {"rest": "unlabelled"}
    arms = {"counts": [1], "real_images": [4], "orders": ["mixed"]}
    plan = study_plan(folds(tiny_study, sources=sources, arms=arms))

    assert {tuple(arm.id for arm in fold.arms) for fold in plan.folds} == {
        ("4-real-only", "4-real-1-rest-mixed")
    }
    taken = [_counts(fold.all_scored()[-1]["phantom"]) for fold in plan.folds]
    assert taken == [{4, left} for left in (1, 2, 2)]  # all that are not among the four


def _counts(work: Work) -> set[int]:
    """How many images the subsets have that it needs, but for those of the rest itself."""
    settings = (each.settings for each in closure([work]).values())
    return {s.count for s in settings if isinstance(s, SubsetSettings) and not s.rest}


def test_an_image_of_a_further_set_is_scored_in_every_fold(tiny_study: Build) -> None:
    plan = study_plan(folds(tiny_study))
    further = [{"phantom": work, "elsewhere": Work(f"{n}", work.kind, work.settings)}
               for n, work in enumerate(each.test() for each in plan.folds)]  # fmt: skip

    scores = plan.scores(plan.arms[0], 0, further)

    assert [work.kind for work in scores["phantom"]] == ["segmenter.pool"]
    assert [work.step for work in scores["elsewhere"]] == ["0", "1", "2"]


def test_what_the_smallest_fold_cannot_have_is_refused_before_any_work(
    tiny_study: Build, tmp_path: Path
) -> None:
    check_study(folds(tiny_study, arms={"real_images": [5]}), tmp_path)
    with pytest.raises(ConfigError, match=r"found 6, but the smallest fold has 5 training images"):
        check_study(folds(tiny_study, arms={"real_images": [6]}), tmp_path)
    further = [{"name": "paired", "root": tmp_path, "folds": 2}]
    with pytest.raises(ConfigError, match=r"external: paired: folds: found 2, expected none"):
        check_study(tiny_study(external=further), tmp_path)


def test_a_dry_run_shows_all_folds(tmp_path: Path) -> None:
    where = ["--workspace", str(tmp_path), "--set=data.folds=2", "--set=data.phantom.size=64"]
    result = CliRunner().invoke(main, ["compare", "compare-quickstart", "--dry-run", *where])
    assert result.exit_code == 0, result.output
    lines = map(str.split, result.output.splitlines())
    found = {words[0]: words[1:3] for words in lines if words}
    assert found["segmenter.train"] == ["50", "50"]  # twice those of the study without folds
    assert found["segmenter.pool"] == ["16", "16"]
