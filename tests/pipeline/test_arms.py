"""Which arms a study has, what each sees, and which stages they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError
from study_alone import everything, study_works

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.stages.augmentation import AugmentSettings, StrongAugmentSettings
from vesselforge.configs.study import ArmSettings, StudyConfig
from vesselforge.pipeline.graph import Work, closure
from vesselforge.pipeline.study.arms import ArmSpec, arms_of
from vesselforge.pipeline.study.study_works import Origin, StudyWorks

Build = Callable[..., StudyConfig]


def chain_of(work: Work) -> list[Work]:
    """The phases of a student, first to last."""
    before = work.inputs.get("start")
    return ([] if before is None else chain_of(before)) + [work]


def test_every_combination_is_an_arm_and_the_real_only_arms_are_always_there() -> None:
    settings = ArmSettings(counts=[50, 200], orders=["synthetic-first", "mixed"])

    arms = arms_of(settings, 16, ["gan", "drawn"])

    assert len(arms) == len(set(arms)) == 2 + 2 * 2 * 2  # real only: in one phase and in two
    assert len({arm.id for arm in arms}) == len({arm.label for arm in arms}) == len(arms)
    assert {arm for arm in arms if arm.order is None} == {
        ArmSpec(16, two_phases=phased) for phased in (False, True)
    }
    for arm in arms:
        if arm.order is not None:
            assert arm.baseline in arms
            assert len(arm.baseline.phases) == len(arm.phases)


def test_without_synthetic_counts_the_real_only_arm_is_left() -> None:
    assert arms_of(ArmSettings(counts=[0]), 16) == [ArmSpec(16)]


def test_the_learning_curve_has_the_arms_for_each_number_of_real_images() -> None:
    arms = arms_of(ArmSettings(counts=[50], orders=["mixed"], real_images=[5, 16]), 16)

    assert [(arm.real_images, arm.count) for arm in arms] == [(5, 0), (5, 50), (16, 0), (16, 50)]


def test_more_real_images_than_there_are_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"found 20, but the dataset has 16 training images"):
        arms_of(ArmSettings(real_images=[20]), 16)


@pytest.mark.parametrize(
    ("order", "phases"),
    [
        (None, ("real",)),
        ("synthetic-first", ("synthetic", "real")),
        ("real-first", ("real", "synthetic")),
        ("mixed", ("mixed",)),
    ],
)
def test_an_order_says_what_each_phase_shows(order: Any, phases: tuple[str, str]) -> None:
    assert ArmSpec(16, 50 if order else 0, order).phases == phases
    assert ArmSpec(16, two_phases=True).phases == ("real", "real")


def test_every_arm_has_the_same_number_of_optimiser_steps(tiny_study: Build) -> None:
    orders = ["synthetic-first", "real-first", "mixed"]
    plan = study_works(tiny_study(arms={"counts": [2], "orders": orders}))

    for arm in plan.arms:
        selection = plan.selected(plan.origin(arm, 0), 2, 1) if arm.order else None
        phases = chain_of(plan.scored(arm, 0, selection)[0])
        settings: list[Any] = [work.settings for work in phases]
        assert [s.steps for s in settings] == ([4] if len(arm.phases) == 1 else [2, 2])
        same = {(s.batch, s.crop, s.lr, s.schedule, s.network, s.seed) for s in settings}
        assert len(same) == len(arm.phases)  # the phases' own settings, and nothing of the arm


def test_a_phase_is_augmented_as_the_arm_says(tiny_study: Build) -> None:
    plan = study_works(tiny_study())
    on, strong = AugmentSettings(), StrongAugmentSettings().plain
    selection = plan.selected(Origin("stylegan2", 4, 0, 0), 2, 1)

    def augments(order: Any, strength: Any) -> list[tuple[Any, Any]]:
        arm = ArmSpec(4, 2, order, "stylegan2", strength)
        phases = chain_of(plan.scored(arm, 0, selection)[0])
        return [(w.settings.augment, w.settings.synthetic_augment) for w in phases]  # type: ignore[attr-defined]

    assert augments("mixed", "standard") == [(on, None)]
    assert augments("mixed", "strong") == [(strong, on)]
    assert augments("synthetic-first", "strong") == [(on, None), (strong, None)]
    assert augments("real-first", "strong") == [(strong, None), (on, None)]


@pytest.mark.parametrize("mix", [{"share": 0.5}, {"augment": "standard"}])
def test_how_synthetic_images_enter_moves_no_training_of_real_ones(
    tiny_study: Build, mix: dict[str, Any]
) -> None:
    darker = {"student": {"augment": {"brightness": 0.2}}, "arms": {"orders": ["mixed"]}}

    def students(**mix: Any) -> tuple[set[str], set[str]]:
        plan = study_works(tiny_study(synthetic=mix, **darker))
        works = closure(everything(plan)).items()
        fits = {digest: work for digest, work in works if work.kind == "segmenter.train"}
        mixed = {digest for digest, work in fits.items() if "synthetic" in work.inputs}
        return mixed, fits.keys() - mixed

    mixed, real = students()
    changed, same = students(**mix)
    assert same == real
    assert mixed and len(changed) == len(mixed) and not changed & mixed


def test_arms_share_every_stage_that_does_not_differ(tiny_study: Build) -> None:
    orders = ["synthetic-first", "real-first"]
    plan = study_works(tiny_study(arms={"counts": [2, 4], "orders": orders}))

    works = closure(everything(plan)).values()
    kinds = [work.kind for work in works]

    assert kinds.count("generator.train") == 1
    assert kinds.count("data.prepare") == 2
    assert kinds.count("generator.sample") == kinds.count("segmenter.pseudo-label") == 2
    # A teacher; for each of 2 seeds: the real first phase of all real-first arms and the real-only
    # arm, its second phase, those of 2 real-first arms, and both of 2 synthetic-first arms.
    assert kinds.count("segmenter.train") == 1 + 2 * (1 + 1 + 2 + 2 * 2)


def digests(plan: StudyWorks) -> set[str]:
    """Addresses of all but scores: these are of the most images that an arm takes."""
    works = closure(everything(plan)).items()
    return {digest for digest, work in works if work.kind != "generator.score"}


def test_another_count_or_seed_changes_no_address_that_was_there(tiny_study: Build) -> None:
    before = digests(study_works(tiny_study()))

    more = digests(study_works(tiny_study(arms={"counts": [0, 2, 4, 7]})))
    longer = digests(study_works(tiny_study(arms={"seeds": [0, 1, 2]})))

    assert before < more
    assert before < longer
    added = closure(everything(study_works(tiny_study(arms={"counts": [2, 4, 7]}))))
    new = [work for digest, work in added.items() if digest not in before]
    trained = [work for work in new if work.kind == "segmenter.train"]
    assert len(trained) == 2 * 2  # two phases, two seeds, of the one new arm


def test_where_and_how_many_at_once_is_not_part_of_any_address(tiny_study: Build) -> None:
    elsewhere = tiny_study(execution={"workers": 2, "runner": "dask", "gpus": [0, 1]})

    assert digests(study_works(elsewhere)) == digests(study_works(tiny_study()))


@pytest.mark.parametrize(
    ("reseed", "generators", "pools"), [("students", 1, 2), ("samples", 1, 4), ("all", 2, 4)]
)
def test_reseed_says_what_a_seed_changes(
    tiny_study: Build, reseed: str, generators: int, pools: int
) -> None:
    plan = study_works(tiny_study(synthetic={"pool": 2, "reseed": reseed}, arms={"counts": [4]}))

    kinds = [work.kind for work in closure(everything(plan)).values()]

    assert kinds.count("generator.train") == generators
    assert kinds.count("generator.sample") == pools


def test_pools_of_different_seeds_never_share_a_sample(tiny_study: Build) -> None:
    plan = study_works(tiny_study(synthetic={"pool": 3, "reseed": "samples"}))
    seeds: list[int] = []
    for draw in (0, 1):
        for pool in range(3):
            settings: Any = (
                plan.label(Origin("stylegan2", 4, 0, draw), pool).inputs["samples"].settings
            )
            seeds += range(settings.seed, settings.seed + settings.count)

    assert len(set(seeds)) == len(seeds) == 18


def test_test_images_are_an_input_of_evaluations_alone(tiny_study: Build) -> None:
    plan = study_works(tiny_study())
    test = plan.test().digest

    users = {
        work.kind
        for work in closure(everything(plan)).values()
        if any(needed.digest == test for needed in work.inputs.values())
    }

    assert users == {"segmenter.evaluate"}


def test_the_generator_sees_the_few_or_all(tiny_study: Build) -> None:
    few = study_works(tiny_study(arms={"real_images": [2]}))
    every = study_works(tiny_study(arms={"real_images": [2]}, synthetic={"generator_sees": "all"}))

    for plan, expected in ((few, "data.subset"), (every, "data.prepare")):
        generator = plan.supplied(Origin("stylegan2", 2, 0, 0)).generator()
        assert generator is not None and generator.inputs["images"].kind == expected
        assert plan.teacher(2, 0).inputs["images"].kind == "data.subset"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arms": {"seeds": [1, 1]}}, "found a value twice"),
        ({"student": {"source": "pool"}, "arms": {"orders": ["mixed"]}}, "student.source: crops"),
        ({"filters": {"fog": {}}}, "found the source fog, expected one of `sources`: stylegan2"),
        ({"student": {"early_stop": 3}}, "equal steps in all arms"),
        ({"execution": {"gpus": [0], "workers": 2}}, "a card of its own"),
        (
            {"execution": {"runner": "dask", "address": "tcp://x", "workers": None}},
            "give the number",
        ),
        ({"execution": {"address": "x"}}, "set runner: dask"),
        ({"external": [{"name": "phantom"}]}, "not `data` itself"),
        ({"synthetic": {"pool": 100000}}, "less than or equal to 25000"),
        (
            {"statistics": {"endpoints": [{"name": "x", "sets": ["stare"]}]}},
            "x: found the set stare, expected one of phantom",
        ),
        (
            {
                "external": [{"name": "stare"}],
                "statistics": {"endpoints": [{"name": "stare", "sets": ["stare", "phantom"]}]},
            },
            r"stare is the name of a dataset; give stare \+ phantom another",
        ),
        (
            {"statistics": {"endpoints": [{"name": "x", "sets": ["phantom"]}] * 2}},
            "endpoints: each name once",
        ),
        (
            {"statistics": {"primary_arms": ["P"]}},
            "primary_arms: found P, expected none: arms has no named ones with a source",
        ),
        (
            {"arms": {"real_images": [2]}, "statistics": {"primary_real_images": [2, 3]}},
            "primary_real_images: found 3, expected 2",
        ),
        ({"arms": {"countz": [1]}}, "Extra inputs"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    tiny_study: Build, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        tiny_study(**change)
