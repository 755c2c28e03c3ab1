"""YAML is read as it is written: nothing becomes something else before a setting asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vesselforge.configs.errors import ConfigError
from vesselforge.configs.load import SHIPPED, load, validate
from vesselforge.configs.plain_yaml import parse
from vesselforge.configs.settings import DataSettings, PipelineConfig

pytestmark = pytest.mark.slow


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("teacher:\n  steps: 4\n  lr: 0.001\n  steps: 40\n", "`steps` twice in one group, lines 2"),
        ("teacher: {steps: 4}\nname: a\nteacher: {batch: 2}\n", "`teacher` twice in one group, l"),
        ("teacher: {steps: 4, 'steps': 5}\n", "`steps` twice in one group, lines 1 and 1"),
        ("external:\n- name: stare\n  fold: 1\n  name: drive\n", "`name` twice in one group, line"),
        ("arms: {named: {01: {count: 0}, '01': {count: 2}}}\n", "`01` twice in one group"),
    ],
)
def test_a_key_that_is_given_twice_is_an_error_with_file_and_both_lines(
    file: Path, content: str, message: str
) -> None:
    file.write_text(content)
    with pytest.raises(ConfigError) as error:
        load(PipelineConfig, file)
    assert str(error.value).startswith(f"{file}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_both_lines_are_those_of_the_keys(file: Path) -> None:
    file.write_text("name: a\n\nsample:\n  count: 4\n  # more\n  count: 40\n")
    with pytest.raises(ConfigError, match="lines 4 and 6"):
        load(PipelineConfig, file)


def test_equal_keys_of_different_groups_and_merged_ones_are_no_repetition() -> None:
    text = "a: &one {steps: 1, lr: 2}\nb: {<<: *one, steps: 3}\nc: {<<: {<<: *one, lr: 5}}"
    assert parse(text) == {
        "a": {"steps": 1, "lr": 2},
        "b": {"steps": 3, "lr": 2},
        "c": {"steps": 1, "lr": 5},
    }


@pytest.mark.parametrize(
    "written",
    ["01", "1", "007", "1.10", "1e3", "1_000", "0x1f", "0o17", "no", "on", "Yes", "true", "1:30",
     "2024-01-02", "=", "+5", ".5", "-0", ".inf", "nan", "1" * 5000],
)  # fmt: skip
def test_an_identifier_stays_as_it_is_written(written: str) -> None:
    text = f"name: paired\nexclude: [{written}]\npattern: {written}"
    data = validate(DataSettings, parse(text), "test")
    assert data.exclude == [written]
    assert data.pattern == written


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("teacher: {lr: 1e-4}", 1e-4),  # PyYAML: text
        ("teacher: {lr: 1.0e-4}", 1e-4),
        ("teacher: {lr: .5}", 0.5),
        ("teacher: {steps: 010}", 10),  # PyYAML: 8
        ("teacher: {steps: 1_000}", 1000),
        ("teacher: {augment: {flip: no}}", False),
        ("teacher: {augment: {flip: on}}", True),
        ("teacher: {augment: {flip: true}}", True),
        ("stage_timeout: ~", None),
        ("stage_timeout:", None),
        ("\ufeffname: marked", "marked"),  # by some editors, in front
        ("name: 2024", "2024"),
    ],
)
def test_settings_take_what_was_meant(written: str, meant: Any) -> None:
    config: Any = validate(PipelineConfig, parse(written), "test")
    value: Any = parse(written)
    while isinstance(value, dict):
        [(name, value)] = value.items()
        config = getattr(config, name)
    assert config == meant and type(config) is type(meant)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("teacher: {steps: yes}", "steps: input should be a valid integer"),  # PyYAML: 1
        ("teacher: {steps: true}", "steps: input should be a valid integer"),
        ("teacher: {steps: 1:30}", "steps: input should be a valid integer"),  # PyYAML: 90
        ("teacher: {steps: 0x10}", "steps: input should be a valid integer"),  # PyYAML: 16
        ("stage_timeout: 2:00:00", "stage_timeout: input should be a valid number"),
        ("teacher:", "teacher: input should be a valid dictionary"),
        ("data: {exclude: [a, ~]}", "exclude.1: input should be a valid string (found None); put"),
        ("data: {root: 2024}", "(found 2024); put it in quotes"),
    ],
)
def test_what_may_mean_something_else_is_refused(file: Path, written: str, message: str) -> None:
    file.write_text(written)
    with pytest.raises(ConfigError) as error:
        load(PipelineConfig, file)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (b"name: a\n\tsteps: 3\n", "this is a tab: write spaces"),
        (b"name: a\n---\nname: b\n", "expected a single document"),
        ("name: a\n".encode("utf-16"), "not readable as YAML"),
        (b"? [a]\n: 1\n", "unhashable key"),
        (b"name: !!python/name:os.system a\n", "could not determine a constructor"),
        (b"a: &a [*a]\n", "nested too deeply"),
    ],
)
def test_files_that_are_no_settings_are_one_line(file: Path, written: bytes, message: str) -> None:
    file.write_bytes(written)
    with pytest.raises(ConfigError) as error:
        load(PipelineConfig, file)
    assert str(error.value).startswith(f"{file}: not readable as YAML: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x85"), min_size=1, max_size=20)
"""Without the one line end that PyYAML writes and does not read; an unknown identifier is said."""
NUMBER = st.floats(allow_nan=False, allow_infinity=False) | st.integers()


@hypothesis.settings(max_examples=50, deadline=None)
@given(names=st.lists(TEXT | NUMBER.map(str)), rate=st.floats(1e-12, 1), steps=st.integers(1, 9999))
def test_what_a_run_writes_of_its_settings_is_read_back(
    names: list[str], rate: float, steps: int
) -> None:
    teacher = {"lr": rate, "min_lr": 0.0, "steps": steps}
    config = PipelineConfig.model_validate({"data": {"exclude": names}, "teacher": teacher})
    written = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    assert validate(PipelineConfig, parse(written), "test") == config


@pytest.mark.parametrize("path", sorted(SHIPPED.rglob("*.yaml")), ids=lambda p: p.stem)
def test_what_is_shipped_means_the_same_to_every_reader(path: Path) -> None:
    """Prefect's forms get it from PyYAML: no word in it may be read in two ways."""
    text = path.read_text()

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [plain(inner) for inner in value]
        try:
            return value if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            return {"true": True, "false": False}.get(value, value)

    assert plain(parse(text)) == plain(yaml.safe_load(text))


def test_home_is_meant_by_a_tilde_in_every_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    values = {
        "data": {"name": "paired", "root": "~/eyes"},
        "source": {"kind": "unlabelled", "root": "~/others"},
        "generator": {"start_from": "~/start.pkl"},
    }
    config: Any = validate(PipelineConfig, values, "test")
    assert config.data.root == Path("/home/ann/eyes")
    assert config.source.root == Path("/home/ann/others")
    assert config.generator.start_from == Path("/home/ann/start.pkl")
    kept = validate(DataSettings, {"name": "paired", "root": "a/~b"}, "test")
    assert kept.root == Path("a/~b")
    nobody = validate(DataSettings, {"name": "paired", "root": "~nobody-there/x"}, "test")
    assert nobody.root == Path("~nobody-there/x")
