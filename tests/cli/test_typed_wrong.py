"""What is typed wrong is told in one line: usage, things of another kind, values."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import refusal
from typed import typed

from vesselforge.configs.settings import PipelineConfig
from vesselforge.pipeline.record import STUDY, RunRecord

IS_A_GENERATOR = "a generator, and a segmenter is wanted; `vesselforge generator draw`, `walk` and"
IS_A_SEGMENTER = "a segmenter, and a generator is wanted; `vesselforge predict`, `finetune` and"
NO_MODEL = "/bare: no model here; expected a folder with model.json or ensemble.json in it, a run,"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["predcit"],
            "'predcit'. Did you mean 'predict'?; see `vesselforge --help`",
        ),
        (["run"], "missing argument 'CONFIG'; see `vesselforge run --help`"),
        (["run", "quickstart", "--foo"], "no such option: --foo"),
        (["finetune", "m", "f", "--steps", "nan"], "invalid value for '--steps': "),
        (["finetune", "m", "f", "--steps", "0"], "(found '0'); see `vesselforge finetune --help`"),
        (["segmenter", "evaluate", "m", "d", "--fov-width", "9"], "expected model, native or 32"),
        (["segmenter", "evaluate", "m", "d", "--split", "some"], "'test', 'all'"),
        (["models", "promote", "eyes", "two"], "(found 'two')"),
    ],
)
def test_what_is_typed_wrong_is_one_line(arguments: list[str], said: str) -> None:
    line = refusal(typed(*arguments))
    assert said in line and line.endswith("--help`")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["finetune", "ROOM/bare", "phantom"], NO_MODEL),
        (["predict", "ROOM/bare", "x.png", "-o", "out"], NO_MODEL),
        (["finetune", "bare", "phantom"], NO_MODEL),  # a model of the workspace that has gone
        (["finetune", "phantom-joint-64", "phantom"], f"phantom-joint-64: {IS_A_GENERATOR}"),
        (["predict", "ROOM/gan", "x.png", "-o", "out"], f"/gan: {IS_A_GENERATOR}"),
        (["segmenter", "export", "phantom-joint-64", "-o", "x.onnx"], IS_A_GENERATOR),
        (["generator", "walk", "sa-unet-drive", "-o", "w.gif"], f"sa-unet-drive: {IS_A_SEGMENTER}"),
        (["generator", "draw", "tuned", "-o", "out"], f"tuned: {IS_A_SEGMENTER}"),
        (["predict", "study", "x.png", "-o", "out"], "/study: this is a study, which has no model"),
        (["compare", "quickstart"], "so this is the config of a run: `vesselforge run` takes it"),
        (["run", "compare-quickstart"], "config of a study: `vesselforge compare` takes it"),
        (["compare", "compare-quickstart", "--set", "source=x"], "did you mean `sources`?"),
        (["data", "check", "noses"], "(phantom, drive, chase-db1, stare, hrf, les-av, fives)"),
    ],
)
def test_a_thing_of_another_kind_is_told_what_it_is(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    for file in ("gan/generator.json", "ws/models/tuned/model.json", "ws/models/bare/card.json"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text("{}")
    (tmp_path / "bare").mkdir()
    study = PipelineConfig.model_validate({"name": "study"})
    RunRecord(tmp_path / "ws", study).note("flow", STUDY)
    given = [word.replace("ROOM", str(tmp_path)) for word in arguments]
    assert said in refusal(typed(*given, VESSELFORGE_WORKSPACE=str(tmp_path / "ws")))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["finetune", "sa-unet-drive", "phantom", "--folds", "40"], "error: --folds: 40: found 28"),
        (["finetune", "sa-unet-drive", "phantom", "--group", "(.)"], "error: --group: phantom has"),
        (["finetune", "sa-unet-drive", "phantom", "--name", "A B"], "error: --name: string should"),
        (
            ["finetune", "sa-unet-drive", ".", "--pattern", r"\d"],
            r"error: --pattern: found '\d', wh",
        ),
        (
            ["data", "check", ".", "--pattern", r"\d("],
            r"error: --pattern: found '\d(', which is no",
        ),
        (
            ["data", "check", "drive", "--pattern", "x"],
            "error: --pattern: found 'x', and drive has",
        ),
        (["data", "check", "phantom", "--mask-values", "{0: a}"], "--mask-values: 0: input should"),
        (["data", "phantom", "x", "--set", "size=1"], "error: --set: size: input should be"),
        (
            ["predict", "sa-unet-drive", "x", "-o", "y", "--model", "teacher"],
            "error: --model: found",
        ),
        (
            ["predict", "sa-unet-drive", "x", "-o", "y", "--tile", "8"],
            "error: --tile: found 8 pixels",
        ),
        (["segmenter", "evaluate", "sa-unet-drive", "phantom", "--runtime", "x"], ": --runtime: "),
        (
            ["finetune", "sa-unet-drive", "phantom", "--set", "data.folds=40"],
            "error: data.folds: 40",
        ),
    ],
)
def test_a_wrong_value_is_told_by_what_was_typed(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refusal(typed(*arguments, VESSELFORGE_WORKSPACE=str(tmp_path / "ws")))
