"""Settings: what is shipped is sound, what is wrong is said in one line before any work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from vesselforge.configs.base import Settings
from vesselforge.configs.errors import ConfigError
from vesselforge.configs.load import SHIPPED, _groups, load, override
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.study import StudyConfig


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nsample: {count: 10}\n")
    return path


@pytest.mark.parametrize("path", sorted(SHIPPED.rglob("*.yaml")), ids=lambda p: p.stem)
def test_what_is_shipped_validates_under_its_own_name(path: Path) -> None:
    model = StudyConfig if path.stem.startswith("compare") else PipelineConfig
    config = load(model, path)
    assert config.name == path.stem
    assert load(model, path.stem) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["ensembles=[or, mean, or]"], "ensembles: found a value twice"),
        (["teacher.augment.zoom=[2, 0.5]"], r"zoom: found \[2\.0, 0\.5\], expected \[low, high\]"),
    ],
)
def test_settings_that_nothing_could_follow_are_refused(
    file: Path, changes: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(PipelineConfig, file, changes)


def test_there_are_the_three_promised() -> None:
    assert {"quickstart", "drive-cpu", "drive-gpu"} <= {p.stem for p in SHIPPED.glob("*.yaml")}


def test_overrides_win_and_leave_the_rest(file: Path) -> None:
    config = load(PipelineConfig, file, ["sample.psi=0.5", "teacher.augment.flip=false"])
    assert (config.sample.count, config.sample.psi) == (10, 0.5)
    assert config.teacher.augment.flip is False
    assert config.student.augment.flip is False  # as the teacher, where nothing else is said
    assert config.finetune == PipelineConfig.model_validate({}).finetune
    again = override(config, ["sample.count=11"])
    assert (again.sample.count, again.sample.psi) == (11, 0.5)
    assert override(config, []) is config


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sampel: {count: 3}", "sampel: unknown key; did you mean `sample`?"),
        ("teacher: {stepz: 3}", "teacher.stepz: unknown key; did you mean `steps`?"),
        (
            "source: {kind: phantom, sise: 3}",
            "source.phantom.sise: unknown key; did you mean",
        ),
        (
            "source: {kind: toy}",
            "source.kind: found 'toy', expected one of stylegan2, joint",
        ),
        ("source: {size: 64}", "source.kind: missing"),
        ("source: toy", "source.kind: found 'toy'"),
        ("sample: {xyz: 3}", "sample.xyz: unknown key; allowed: count, psi"),
        ("sample: {count: several}", "sample.count: input should be a valid integer"),
        ("sample: {count: -3}", "greater than or equal to 1 (found -3)"),
        ("sample: {count: 1.5}", "sample.count: input should be a valid integer"),
        ("generator: {resolution: 48}", "resolution must be a power of two, not 48"),
        ("generator: {batch: 6, mbstd_group: 4}", "mbstd_group 4 must divide batch 6"),
        ("teacher: {crop: 50}", ".yaml: teacher.crop: input should be a multiple of 8 (found 50)"),
        ("student: {stepz: 3}", "student.stepz: unknown key; did you mean `steps`?"),
        ("pretrain: {crop: 50}", "pretrain.crop: input should be a multiple of 8 (found 50)"),
        ("pretrain: {network: unet-23}", "pretrain.network: unknown key; allowed: steps, batch"),
        (
            "student: {min_lr: 0.001}\nfinetune: {lr: 0.0001}",
            "finetune, with the settings of `student`: min_lr (0.001) must not exceed lr",
        ),
        ("order: mixed\nstudent: {source: pool}", "order: mixed needs student.source: crops"),
        ("teacher: 3", "teacher: input should be a valid dictionary"),
        ("name: ../up", "name: string should match pattern"),
        ("data: {name: dirve}", "data.name: found 'dirve', expected one of phantom, drive"),
        ("data: {validation_share: 0.6, test_share: 0.5}", "must be below 1"),
        ("- a list", "expected `key: value` lines, found a list"),
        ("a: [1", "not readable as YAML"),
        ("a: b: c", "not readable as YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError) as error:
        load(PipelineConfig, file)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("sample.count", "--set sample.count: expected key.sub_key=value"),
        ("=3", "--set =3: expected key.sub_key=value"),
        ("name.first=x", "name.first: `name` is a value, not a group of settings"),
        ("sample.count=[", "--set sample.count=[: the value is not readable as YAML"),
    ],
)
def test_a_malformed_override_is_named(file: Path, change: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(PipelineConfig, file, [change])
    assert message in str(error.value)


def test_a_missing_file_lists_what_is_shipped(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such config file.*drive-cpu.*quickstart"):
        load(PipelineConfig, tmp_path / "none.yaml")
    (tmp_path / "mine.yaml").touch()
    with pytest.raises(ConfigError, match=r"did you mean `.*/mine\.yaml`\?"):
        load(PipelineConfig, tmp_path / "mine")


def test_a_study_in_the_place_of_a_run_is_told_apart() -> None:
    with pytest.raises(ConfigError, match="config of a study: `vesselforge compare` takes it"):
        load(PipelineConfig, "compare-quickstart")


def test_an_empty_file_means_all_defaults(file: Path) -> None:
    file.write_text("")
    assert load(PipelineConfig, file) == PipelineConfig.model_validate({})


def test_settings_survive_yaml(tmp_path: Path) -> None:
    config = load(PipelineConfig, "quickstart")
    path = tmp_path / "copy.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load(PipelineConfig, path) == config


def leaves(model: type[Settings], prefix: str = "") -> dict[str, str | None]:
    """Path of every single setting → its description; those of several kinds count once a path."""
    found: dict[str, str | None] = {}
    for name, field in model.model_fields.items():
        inner = _groups(field.annotation)
        for group in inner:
            found |= leaves(group, f"{prefix}{name}.")
        if not inner:
            found[prefix + name] = field.description
    return found


def test_a_run_has_fewer_than_200_settings() -> None:
    found = leaves(PipelineConfig)
    assert {"teacher.augment.flip", "pretrain.steps", "source.root", "name"} <= found.keys()
    assert len(found) < 200


def test_the_student_is_as_the_teacher_where_nothing_else_is_said(file: Path) -> None:
    file.write_text(
        "teacher: {network: unet-23, lr: 0.004, augment: {warp_share: 0.3, noise: 0}}\n"
        "student: {steps: 70, augment: {noise: 0.1}}\n"
        "pretrain: {batch: 16, schedule: constant}\n"
    )
    config = load(PipelineConfig, file, ["finetune.lr=0.001"])
    first, second = config.phases
    assert (first.network, first.steps, first.lr, first.batch) == ("unet-23", 70, 0.004, 16)
    assert (second.steps, second.lr, second.batch, second.schedule) == (70, 0.001, 8, "cosine")
    assert (second.augment.warp_share, second.augment.noise) == (0.3, 0.1)
    assert config.teacher.steps == 1000 and config.teacher.augment.noise == 0


def test_every_setting_tells_what_it_is() -> None:
    for model in (PipelineConfig, StudyConfig):
        for path, description in leaves(model).items():
            assert description or path.endswith(".kind"), path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("external: [{nam: stare}]", "external.0.nam: unknown key; did you mean `name`?"),
        ("sources: {a: {kind: phantom, sise: 64}}", "sources.a.phantom.sise: unknown key; did"),
        (
            "arms: {named: {A: {sorce: x}}}",
            "A.sorce: unknown key; did you mean `source`?",
        ),
        ("strong_augment: {flipp: 1}", "flipp: unknown key; did you mean `flip`?"),
    ],
)
def test_unknown_keys_are_found_in_lists_and_groups(file: Path, content: str, message: str) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(StudyConfig, file)
