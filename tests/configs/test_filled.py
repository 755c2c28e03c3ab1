"""What a preset or the teacher fills in does not count as set, whichever way settings come."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from vesselforge.configs.base import Settings, as_given
from vesselforge.configs.errors import ConfigError
from vesselforge.configs.load import load, override
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.stages.gan import GeneratorSettings
from vesselforge.configs.stages.presets import RECIPES, presettable
from vesselforge.configs.study import StudyConfig
from vesselforge.generator.trained import network_kwargs
from vesselforge.generator.training.step_counts import Schedule
from vesselforge.pipeline.stages import STAGES


def test_a_preset_that_is_changed_later_fills_in_anew() -> None:
    changed = override(load(PipelineConfig, "quickstart"), ["generator.preset=small-set"])
    own = changed.generator
    assert (own.lr, own.d_lr_ratio, own.augment_pipe, own.kimg) == (0.0008, 4.0, "bg", 1.0)
    assert own.channels == "rgb"  # adapt-few's were its own
    back = override(changed, ["generator.preset=null", "generator.start_from=null"])
    assert back.generator.lr == GeneratorSettings().lr


def test_null_is_left_out() -> None:
    empty = dict.fromkeys(presettable())
    for preset in (None, "auto", *RECIPES):
        given: dict[str, Any] = {"preset": preset}
        assert GeneratorSettings.model_validate(given | empty) == GeneratorSettings(**given)
    assert as_given(GeneratorSettings.model_validate({"lr": 0.1, "batch": None})) == {"lr": 0.1}


def test_what_null_cannot_say_zero_does() -> None:
    own = GeneratorSettings(preset="auto", conv_clamp=0, ema_rampup=0)
    assert (own.conv_clamp, own.ema_rampup) == (0, 0)
    assert network_kwargs(own)[1]["conv_clamp"] is None
    assert Schedule.of(own, continued=False).ema_rampup is None


def test_every_preset_fills_in_what_forms_leave_empty() -> None:
    fields = GeneratorSettings.model_json_schema()["properties"]
    for recipe in RECIPES.values():
        assert {fields[name]["default"] for name in recipe} == {None}
    assert fields["lr"]["description"].endswith("left empty: as the preset has it, else 0.0025")
    assert fields["resolution"]["default"] == 64


def test_the_student_follows_a_teacher_that_is_changed_later() -> None:
    config = load(StudyConfig, "compare-drive-cpu")
    changed = override(config, ["teacher.lr=0.003", "teacher.augment.hue=5"])
    assert (changed.student.lr, changed.student.augment.hue) == (0.003, 5)
    assert (changed.student.batch, changed.student.crop) == (32, 64)  # its own
    assert as_given(changed.student) == {"batch": 32, "crop": 64}
    with pytest.raises(ConfigError, match=r"finetune\.start_from: found none"):
        override(config, ["finetune.start_from=none"])


def test_a_group_is_the_rest_of_its_default() -> None:
    """Whether all of it, a part or nothing is said."""
    part = override(StudyConfig(), ["strong_augment.hue=5", "finetune.steps=7"])
    assert part.strong_augment.plain.model_dump() == (
        StudyConfig().strong_augment.model_dump() | {"hue": 5}
    )
    assert (part.strong_augment.blur, part.finetune.lr) == (1.2, None)
    assert [*override(StudyConfig(), ["sources.mine.kind=phantom"]).sources] == ["mine"]
    assert [*StudyConfig().sources] == ["stylegan2"]
    assert override(PipelineConfig(source="phantom"), ["source.size=64"]).source.kind == "phantom"  # type: ignore[arg-type]


def test_no_form_posts_what_was_filled_in() -> None:
    """The default of a group, which forms post when it was left out, holds no value of its own."""
    for model in (PipelineConfig, StudyConfig):
        for name, field in model.model_json_schema()["properties"].items():
            default = field.get("default")
            assert not isinstance(default, dict) or {*default} <= {"kind"}, name


@pytest.mark.parametrize("text", [".inf", "-inf", "nan", "1e999"])
def test_infinite_numbers_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"teacher.clip_value: input should be a"):
        load(PipelineConfig, "quickstart", [f"teacher.clip_value={text}"])


@pytest.mark.parametrize(
    "model", [PipelineConfig, StudyConfig, *(s.settings for s in STAGES.values())]
)
def test_no_number_anywhere_may_be_infinite(model: type[Settings]) -> None:
    for owner in _groups(model, set()):
        for name, field in owner.model_fields.items():
            if "float" not in str(field.annotation):
                continue
            for value in (float("inf"), float("nan"), "1e999"):
                with pytest.raises(ValidationError) as refused:
                    owner.model_validate({name: value})
                assert any(error["loc"][:1] == (name,) for error in refused.value.errors())


def _groups(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """A settings class and all that its fields may hold."""
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            for inner in re.findall(r"vesselforge[\w.]*\.\w+", str(field.annotation)):
                module, _, name = inner.rpartition(".")
                found = getattr(__import__(module, fromlist=[name]), name)
                if isinstance(found, type) and issubclass(found, BaseModel):
                    _groups(found, seen)
    return seen
