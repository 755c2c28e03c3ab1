"""Runs and studies ask for the same work in the same words: equal work has one address."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from study_alone import everything, study_works

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.sources import JointSource, StyleGAN2Source, UnlabelledSource
from vesselforge.configs.study import StudyConfig
from vesselforge.engine.artifacts import MANIFEST
from vesselforge.engine.store import Store
from vesselforge.pipeline.graph import Work, closure
from vesselforge.pipeline.preview import preview, whole
from vesselforge.pipeline.run.run_works import run_works
from vesselforge.pipeline.sources import source_of
from vesselforge.pipeline.study.arms import ArmSpec
from vesselforge.pipeline.study.study_works import Origin, StudyWorks

Build = Callable[..., StudyConfig]
SHARED = (
    "data", "teacher", "student", "pretrain", "finetune", "generator", "sample", "score",
    "evaluate",
)  # fmt: skip


def run_like(study: StudyConfig, **changes: Any) -> PipelineConfig:
    """The run with the settings of a study: its samples are the study's first pool."""
    values = study.model_dump(mode="json")
    shared = {name: values[name] for name in SHARED}
    shared["sample"]["count"] = study.synthetic.pool
    shared["pseudo_label"] = values["pseudo_label"]
    return PipelineConfig.model_validate(shared | {"name": "like"} | changes)


@pytest.mark.parametrize("filters", [{}, {"real_range": 0.9}, {"reject_copies": True}])
def test_a_run_and_a_study_share_every_stage_up_to_the_labels(
    tiny_study: Build, filters: dict[str, Any]
) -> None:
    study = tiny_study(pseudo_label={"min_confidence": 0, **filters})
    works, run = study_works(study), run_works(run_like(study))
    origin = Origin("stylegan2", 4, 0, 0)
    first = run.augmentation()
    supply = works.supplied(origin)

    pairs: dict[str, tuple[Work | None, Work | None]] = {
        "development": (run.development(), works.development()),
        "test": (run.test(), works.test()),
        "teacher": (run.teacher(), works.teacher(4, 0)),
        "generator": (first["generator"], supply.generator()),
        "samples": (first["samples"], works.label(origin, 0).inputs["samples"]),
        "labels": (first["labelled"], works.label(origin, 0)),
    }
    if filters.get("reject_copies"):
        pairs["scores"] = (first["score"], works.label(origin, 0).inputs["scores"])
    for name, (one, other) in pairs.items():
        assert one is not None and other is not None
        assert one.digest == other.digest, name


@pytest.mark.parametrize("order", ["synthetic-first", "real-first", "mixed"])
def test_students_of_the_same_images_have_one_address(tiny_study: Build, order: Any) -> None:
    study = tiny_study(arms={"counts": [2], "orders": [order], "seeds": [0]})
    works, run = study_works(study), run_works(run_like(study, order=order))
    (arm,) = (arm for arm in works.arms if arm.order)
    first = run.augmentation()
    mine, scores = works.scored(arm, 0, first["labelled"])

    assert mine.digest == first["student"].digest
    again = run.evaluation("x", {"model": first["student"]}, run.test(), run.development())
    assert scores["phantom"].digest == again.digest


def test_the_real_only_arm_of_one_phase_has_the_steps_of_both_and_its_threshold_of_the_last(
    tiny_study: Build,
) -> None:
    works = study_works(tiny_study(pretrain={"threshold_on": "none"}))
    one = works.scored(ArmSpec(4), 0, None)[0]
    two = works.scored(ArmSpec(4, two_phases=True), 0, None)[0]
    assert one.settings.steps == 4 and "start" not in one.inputs  # type: ignore[attr-defined]
    assert one.settings.threshold_on == two.settings.threshold_on != "none"  # type: ignore[attr-defined]
    assert two.settings.steps == 2 and "start" in two.inputs  # type: ignore[attr-defined]


def named(tiny_study: Build, arms: dict[str, Any], **changes: Any) -> StudyWorks:
    sources = {
        "phantom": {"kind": "phantom", "appearance": "generic", "size": 64},
        "fitted": {"kind": "phantom"},
        "rest": "unlabelled",
        "turned": {"kind": "phantom", "turned_masks": True},
    }
    study = tiny_study(
        sources=sources, arms={"seeds": [0], "real_images": [2, 4], **arms}, **changes
    )
    return study_works(study)


def test_named_arms_are_compared_with_their_real_only_arm_and_with_controls(
    tiny_study: Build,
) -> None:
    works = named(
        tiny_study,
        {
            "named": {
                "R0": {},
                "R1": {"strength": "strong"},
                "R2": {"source": "rest", "strength": "strong"},
                "P": {"source": "fitted", "count": 3, "strength": "strong", "against": ["R0"]},
                "P-first": {
                    "source": "fitted",
                    "count": 3,
                    "strength": "strong",
                    "order": "synthetic-first",
                },
                "N": {"source": "turned", "count": 3, "strength": "strong", "against": ["P"]},
            },
            "controls": ["R1"],
        },
    )
    ids = [arm.id for arm in works.arms if arm.real_images == 2]
    assert ids == [
        "2-real-R0",
        "2-real-R1",
        "2-real-only-two-phases-strong",  # the partner of P-first, unasked
        "2-real-R2",
        "2-real-P",
        "2-real-P-first",
        "2-real-N",
    ]
    assert works.compared["2-real-P"] == ["2-real-R1", "2-real-R0"]
    assert works.compared["2-real-N"] == ["2-real-R1", "2-real-P"]
    assert works.compared["2-real-P-first"] == [
        "2-real-only-two-phases-strong",
        "2-real-R1",
    ]
    assert works.compared["2-real-R0"] == works.compared["2-real-R1"] == []
    # Where every training image has labels there is no arm of those that have none.
    assert "4-real-R2" not in [arm.id for arm in works.arms]
    (rest,) = (arm for arm in works.arms if arm.source == "rest")
    assert rest.count == 2


def test_unlabelled_images_are_the_others_and_bring_no_labels(tiny_study: Build) -> None:
    works = named(tiny_study, {"named": {"R2": {"source": "rest"}}})
    labelled = works.label(Origin("rest", 2, 0, 0), 0)
    samples, real = labelled.inputs["samples"], works.real(2, 0)
    assert samples.settings.model_dump() == real.settings.model_dump() | {"rest": True}
    assert set(labelled.inputs) == {"samples", "teacher", "images"}
    assert labelled.inputs["images"].digest == real.digest


def test_fitted_phantoms_see_the_labelled_images_alone_and_generic_ones_none(
    tiny_study: Build,
) -> None:
    works = named(tiny_study, {"named": {"P": {"source": "fitted", "count": 3}}})
    fitted = works.label(Origin("fitted", 2, 0, 0), 0)
    assert set(fitted.inputs) == {"samples", "images"}  # no teacher is asked
    assert fitted.inputs["images"].digest == works.real(2, 0).digest
    assert fitted.inputs["samples"].inputs["images"].digest == works.real(2, 0).digest
    generic = works.label(Origin("phantom", 2, 0, 0), 0).inputs["samples"]
    assert generic.inputs == {}
    kinds = [w.kind for w in closure(everything(works)).values()]
    assert kinds.count("segmenter.train") == 6  # two teachers: for the features of the scores
    plain = named(
        tiny_study,
        {"named": {"P": {"source": "fitted", "count": 3}}},
        score={"features": "random", "real_views": 4},
    )
    kinds = [w.kind for w in closure(everything(plain)).values()]
    assert kinds.count("segmenter.train") == 4


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({"named": {"A": {"source": "x", "count": 1}}}, "found the source x, expected one of"),
        ({"named": {"A": {}}, "controls": ["B"]}, "found B, expected names of arms"),
        ({"named": {"A": {"against": ["C"]}}}, "found C, expected names of arms"),
    ],
)
def test_arms_name_what_there_is(tiny_study: Build, arms: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        named(tiny_study, arms)


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({"named": {"A": {"source": "fitted"}}}, r"arms.named.A.count: found none"),
        ({"named": {"A": {}, "B": {}}}, "A and B are the same arm"),
    ],
)
def test_arms_that_cannot_be_are_refused(
    tiny_study: Build, arms: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        print(named(tiny_study, arms).arms)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (StyleGAN2Source(labels="own"), "needs a generator that draws masks.*rgb\\+mask"),
        (JointSource(), "source joint: needs a generator that draws masks.*rgb\\+mask"),
    ],
)
def test_labels_need_masks(source: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source_of(source, PipelineConfig())
    joint = PipelineConfig.model_validate({"generator": {"preset": "joint-small"}})
    assert source_of(source, joint).brings_masks


def test_a_run_has_no_unlabelled_images_without_a_folder() -> None:
    config = PipelineConfig(source=UnlabelledSource())
    works = run_works(config)
    with pytest.raises(ConfigError, match="no training image is left without labels"):
        works.augmentation()


def test_own_masks_make_no_better_teacher() -> None:
    with pytest.raises(ValidationError, match="a further round has a better teacher"):
        PipelineConfig.model_validate({"source": "phantom", "iterate": {"rounds": 2}})


def test_a_preview_counts_what_is_there_and_estimates_from_earlier_work(tmp_path: Path) -> None:
    store, works = Store(tmp_path).open(), run_works(PipelineConfig())
    rows = {row["stage"]: row for row in preview(works.everything(), store)}
    assert rows["segmenter.train"] == {
        "stage": "segmenter.train", "in all": 3, "to do": 3, "minutes, about": None,
    }  # fmt: skip
    assert whole(list(rows.values())) is None
    teacher = works.teacher()
    folder = store.folder(teacher.kind, teacher.digest)
    folder.mkdir(parents=True)
    content: dict[str, Any] = {"kind": teacher.kind, "digest": teacher.digest, "seconds": 120.0}
    content |= {"settings": teacher.settings.model_dump(mode="json")}
    content |= {key: {} for key in ("inputs", "files", "metrics")}
    (folder / MANIFEST).write_text(json.dumps(content))
    row = next(r for r in preview(works.everything(), store) if r["stage"] == "segmenter.train")
    assert (row["to do"], row["minutes, about"]) == (2, 4.0)
