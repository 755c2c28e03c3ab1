"""What the check warned of is said in one line, with the command that lists all of it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_writers import phantom, save, write_paired
from typer.testing import CliRunner

from vesselforge.cli.main import main
from vesselforge.configs.load import override
from vesselforge.configs.settings import DataSettings, PipelineConfig, PrepareSettings
from vesselforge.data.datasets import load_settings
from vesselforge.data.layouts.check import check
from vesselforge.data.layouts.warned import CHECK, check_command, told_apart, warning_line
from vesselforge.data.prepare import prepare
from vesselforge.engine.artifacts import Artifact, Outcome
from vesselforge.engine.progress import Progress
from vesselforge.engine.sinks.display import Display, shown
from vesselforge.pipeline.executor import Executor, Hand
from vesselforge.pipeline.graph import Work
from vesselforge.pipeline.models.scoring import development_images, items_of
from vesselforge.pipeline.run.run_works import run_works

pytestmark = pytest.mark.usefixtures("few_are_enough")

NAMES = "abcdefghijklmnop"


def odd(root: Path, count: int) -> Path:
    """Sixteen pairs; the FOVs of the first ones leave out a fifth of the vessels."""
    write_paired(root, NAMES, fov=True)
    for number in range(count):
        made = phantom(number)
        cut = np.quantile(np.nonzero(made.mask)[1], 0.8)
        save(root / "fov" / f"{NAMES[number]}.png", made.fov & (np.arange(64) <= cut))
    return root


def settings(root: Path | None, **more: Any) -> DataSettings:
    return DataSettings.model_validate({"name": "paired", "root": root, **more})


def prepared(data: DataSettings, out: Path, part: Any = "development") -> Path:
    out.mkdir(parents=True)
    prepare(PrepareSettings(data=data, part=part), {}, out, Progress())
    return out


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_line_counts_shows_the_first_and_names_the_command(tmp_path: Path, count: int) -> None:
    more = {"pattern": "(?P<id>.+)", "exclude": ["p", "o"], "test_share": 0.25}
    data = settings(odd(tmp_path / "my set", count), **more)
    line = warning_line(check(load_settings(data)).to_dict(), data)
    if not count:
        assert line == ""
        return
    assert "\n" not in line
    assert line.startswith(f"paired: {'1 warning' if count == 1 else '3 warnings, the first'}: ")
    assert re.search(r"masks/a\.png: \d\d% of its vessels lie outside", line)
    command = shlex.split(re.findall("`(.+)`", line)[0])
    assert command[0] == "vesselforge"
    listed = CliRunner().invoke(main, [*command[1:], "--json"])
    assert listed.exit_code == 0
    found = json.loads(listed.stdout)
    assert [p["severity"] for p in found["problems"]] == ["warning"] * count
    assert {r["id"]: r["split"] for r in found["images"]} == {
        i.id: i.split for i in load_settings(data)
    }


def test_an_artifact_says_it_without_its_place(tmp_path: Path) -> None:
    data = settings(odd(tmp_path / "set", 2))
    here = json.loads((prepared(data, tmp_path / "out") / CHECK).read_text())
    line = warning_line(here, data)
    assert "2 warnings, the first: masks/a.png: " in line
    assert line.count(str(tmp_path)) == 1  # in the command alone
    other = warning_line(here, settings(data.root, test_share=0.5))
    assert other != line and told_apart(other) == told_apart(line)
    assert warning_line({}, data) == warning_line({"problems": "x"}, data) == ""


class Pretending(Hand):
    """Has everything done, as from the store or anew."""

    def __init__(self, made: dict[str, Path], reused: bool) -> None:
        self.made, self.reused = made, reused

    def start(self, work: Work) -> Outcome:
        metrics = json.loads((self.made[work.step] / "metrics.json").read_text())
        return Outcome(Artifact(self.made[work.step], {"metrics": metrics}), self.reused, 0.0)


class Told(Display):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize("reused", [True, False])
def test_whoever_trains_on_images_hears_of_them_once(tmp_path: Path, reused: bool) -> None:
    data = settings(odd(tmp_path / "set", 2))
    works = run_works(PipelineConfig.model_validate({"data": data}))
    made = {
        "development images": prepared(data, tmp_path / "development"),
        "test images": prepared(data, tmp_path / "test", "test"),
    }
    executor = Executor(tmp_path / "workspace", Pretending(made, reused))
    with shown(Told()) as display:
        assert isinstance(display, Told)
        executor.run([works.development(), works.test()])
        executor.run([works.development()])
    assert len(executor.warned) == 1
    assert display.lines == [f"  {executor.warned[0]}"]
    assert "2 warnings, the first: masks/a.png" in executor.warned[0]


def test_nothing_is_said_of_sound_images(tmp_path: Path) -> None:
    data = settings(write_paired(tmp_path / "set", NAMES))
    made = {"development images": prepared(data, tmp_path / "development")}
    executor = Executor(tmp_path / "workspace", Pretending(made, False))
    with shown(Told()) as display:
        assert isinstance(display, Told)
        executor.run([run_works(PipelineConfig.model_validate({"data": data})).development()])
    assert executor.warned == display.lines == []


def test_whoever_scores_images_hears_of_them(tmp_path: Path) -> None:
    root = str(odd(tmp_path / "set", 2))
    with shown(Told()) as display:
        assert isinstance(display, Told)
        items_of(root, "test")
        development_images(root)
    assert len(display.lines) == 2
    for line in display.lines:
        assert "2 warnings, the first: " in line
        assert f"`vesselforge data check paired --root {root}` lists all" in line


@pytest.mark.parametrize(
    "more",
    [
        {"name": "drive"},
        {"name": "phantom", "phantom": {"train": 3, "seed": 7}},
        {"name": "paired", "root": "/my eyes", "pattern": "(?P<id>[a-z]+)_"},
        {"name": "paired", "root": "01", "exclude": ["01", "no", "a: b", "1e-4", "ü", "", "[x]"]},
        {"name": "images", "root": "~/x", "validation_share": 0.0},
    ],
)
def test_the_command_has_every_setting(more: dict[str, Any]) -> None:
    data = DataSettings.model_validate(more)
    words = shlex.split(check_command(data))
    assert words[:4] == ["vesselforge", "data", "check", data.name]
    values: dict[str, Any] = {"name": data.name}
    changes = []
    for option, value in zip(words[4::2], words[5::2], strict=True):
        if option == "--set":
            changes.append(value)
        else:
            values[option.removeprefix("--")] = value
    assert override(DataSettings.model_validate(values), changes) == data
    many = data.model_copy(update={"exclude": [str(number) for number in range(99)]})
    assert "98" not in check_command(many) and data.name in check_command(many)
