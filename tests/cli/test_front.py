"""What everybody meets first: help, completion, settings, a first config."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from commands import refusal
from typed import ROOT, typed

from vesselforge import pretrained
from vesselforge.configs.load import load, shipped
from vesselforge.configs.settings import PhantomSettings, PipelineConfig
from vesselforge.data.phantoms.sets import write_phantoms


def verbs(group: Any, *path: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, *path, name)
        else:
            yield (*path, name), command


VERBS = dict(verbs(ROOT))


def shown_default(parameter: Any) -> str:
    """What its help has to say; empty for what has no default."""
    if isinstance(parameter.show_default, str):
        return f"({parameter.show_default})"
    default = parameter.default
    if getattr(parameter, "is_flag", False):
        return parameter.opts[0].lstrip("-") if parameter.secondary_opts and default else ""
    return "" if default in (None, "", (), []) else str(getattr(default, "value", default))


def help_of(*path: str) -> str:
    """What --help prints."""
    command, context = ROOT, typer.Context(ROOT, info_name="vesselforge", **ROOT.context_settings)
    for name in path:
        command = command.commands[name]
        context = typer.Context(command, info_name=name, parent=context)
    return str(command.get_help(context))


def unbroken(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("width", [80, 120])
def test_every_help_fits_and_shows_every_default(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for path, command in VERBS.items():
        text = help_of(*path)
        assert max(map(len, text.splitlines())) <= width, path
        for parameter in command.params:
            assert "default:" not in parameter.help.lower(), "show_default says it"
            said = re.escape(unbroken(parameter.help))  # markup would eat what is in brackets
            if default := shown_default(parameter):
                said += r"\[(envvar:\w+;)?default:" + re.escape(unbroken(default))
            assert re.search(said, unbroken(text)), (path, parameter.name)
    for group in ((), ("data",), ("generator",), ("segmenter",), ("models",)):
        assert "..." not in help_of(*group).partition("Commands:")[2]


def test_nothing_typed_is_help() -> None:
    for group in ((), ("models",)):
        said = typed(*group)
        assert (said.exit_code, said.stdout.rstrip()) == (0, help_of(*group).rstrip())


def test_every_example_is_one_that_would_be_understood() -> None:
    for path, command in VERBS.items():
        lines = command.epilog.splitlines()[2:]
        assert lines, path
        for line in lines:
            name, *words = shlex.split(line)
            given = words[: len(path)]
            assert (name, tuple(given)) in (
                ("vesselforge", path),
                ("vesselforge", ("predict", *given[1:])),
            )
            spot, rest = ROOT.commands[words[0]], words[1:]
            while hasattr(spot, "commands"):
                spot, rest = spot.commands[rest[0]], rest[1:]
            spot.make_context(words[0], rest)  # raises a usage error


def test_names_that_come_along_are_in_the_help() -> None:
    for path, names in {
        ("predict",): pretrained.names("segmenter"),
        ("segmenter", "predict"): pretrained.names("segmenter"),
        ("generator", "draw"): pretrained.names("generator"),
        ("run",): shipped(study=False),
        ("compare",): shipped(study=True),
    }.items():
        assert names and all(name in unbroken(help_of(*path)) for name in names), path
    assert "compare-quickstart" not in shipped(study=False)


def completed(*words: str, **environment: str) -> list[str]:
    """What bash offers for the last word."""
    told = {"_VESSELFORGE_COMPLETE": "complete_bash", "COMP_CWORD": str(len(words))}
    given = {"COMP_WORDS": shlex.join(["vesselforge", *words]).replace("''", "")}
    return typed(**told, **given, **environment).stdout.split()


def test_names_are_completed(tmp_path: Path) -> None:
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "run.json").touch()
    (tmp_path / "models" / "mice").mkdir(parents=True)
    (tmp_path / "models" / "mice" / "registry.json").touch()
    where = {"VESSELFORGE_WORKSPACE": str(tmp_path)}
    assert completed("run", "drive-g") == ["drive-gan", "drive-gpu"]
    assert completed("compare", "drive") == [] and "compare-drive" in completed("compare", "com")
    assert completed("predict", "mi", **where) == ["mice", "mine"]
    assert completed("predict", "--workspace", str(tmp_path), "mi") == ["mice", "mine"]
    assert completed("finetune", "sa-") == pretrained.names("segmenter")
    assert completed("report", "", **where) == ["mine"]
    assert completed("models", "rollback", "", **where) == ["mice"]
    assert completed("generator", "walk", "phantom") == pretrained.names("generator")
    assert completed("data", "check", "dr") == ["drive"]
    assert completed("data", "check", "p") == ["phantom"]  # a layout is no dataset


def test_settings_are_completed() -> None:
    assert completed("run", "drive-cpu", "--set", "teacher.ste") == ["teacher.steps"]
    assert "data.name" in (of_run := completed("run", "drive-cpu", "--set", ""))
    assert not {"arms.counts", "data"} & {*of_run}  # of a study; a group
    assert completed("compare", "mine", "--set", "arms.cou") == ["arms.counts"]
    assert completed("finetune", "m", "f", "--set", "teacher.los") == ["teacher.loss"]
    assert completed("data", "check", "drive", "--set", "known_s") == ["known_splits"]
    assert completed("data", "phantom", "eyes", "--set", "si") == ["size"]
    assert completed("settings", "pretra") == [
        one for one in completed("settings", "p") if one.startswith("pretra")
    ]
    assert completed("settings", "--config", "compare-drive", "arms.cou") == ["arms.counts"]


COMPLETING = """
import resource, sys
from vesselforge.cli.main import main
try:
    main(prog_name="vesselforge")
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime, file=sys.stderr)
    heavy = {"torch", "prefect", "scipy", "numpy"} & {*sys.modules}
    print(*heavy, file=sys.stderr)
"""


def test_completion_is_quick_and_tells_meanings() -> None:
    told = {
        "_VESSELFORGE_COMPLETE": "complete_zsh",
        "_TYPER_COMPLETE_ARGS": "vesselforge run drive-cpu --set teacher.cro",
    }
    command = [sys.executable, "-c", COMPLETING]
    done = subprocess.run(command, env=os.environ | told, capture_output=True, text=True)
    assert '"teacher.crop":"crops\\\\: side in pixels' in done.stdout
    seconds, heavy = done.stderr.splitlines()
    assert heavy == "" and float(seconds) < 1.5  # of a processor; a third of it is usual


def test_the_script_for_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))
    assert "complete -o default -F _vesselforge_completion vesselforge" in (
        typed("--show-completion").stdout
    )


def test_settings_are_explained() -> None:
    said = typed("settings", "teacher.crop", "--config", "drive-cpu").stdout
    assert "teacher.crop: crops: side in pixels, a multiple of 8" in said
    assert "type: integer, 16 to 4096, a multiple of 8" in said
    assert "default: 160" in said and "in drive-cpu: 160" in said
    found = json.loads(typed("settings", "source", "--config", "drive-cpu", "--json").stdout)
    rows = {row["setting"]: row for row in found}
    assert rows["source.randomise"] == {
        "setting": "source.randomise",
        "type": "number, 0 to 1",
        "default": 0.0,
        "meaning": rows["source.randomise"]["meaning"],
        "in drive-cpu": 0.5,
    }
    assert "source.root" not in rows  # of another kind than the config has
    assert "sources.NAME.root" in typed("settings", "sources", "--config", "study").stdout
    assert refusal(typed("settings", "teacher.lrr")).endswith(
        "no such setting; the nearest: teacher.lr, student.lr, pretrain.lr, finetune.lr, "
        "generator.lr"
    )


def test_a_first_config_runs_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_phantoms(Path("My eyes"), PhantomSettings(train=6, validation=1, test=1, size=72))
    for kind in ("images", "masks", "fov"):
        for number, file in enumerate(sorted((tmp_path / "My eyes" / kind).iterdir())):
            file.rename(file.with_name(f"p{number // 2}_{'OD' if number % 2 else 'OS'}.png"))
    done = typed("init", "My eyes")
    assert done.exit_code == 0, done.output
    assert "8 images of 72 x 72 pixels (height x width): 4 train, 2 validation, 2 test." in (
        done.stdout
    )
    config = load(PipelineConfig, "my-eyes.yaml")
    assert (config.data.root, config.teacher.crop) == (tmp_path / "My eyes", 72)
    assert config.data.group and config.order == "mixed" and config.source.kind == "phantom"
    text = Path("my-eyes.yaml").read_text()
    assert "# folds: 4\n" in text  # as many as there are patients
    dry = typed("run", "my-eyes.yaml", "--dry-run", "--workspace", "ws")
    assert dry.exit_code == 0 and "stages to do; how long is not known yet" in dry.stdout
    head = "if no synthetic image is rejected"
    assert head in dry.stdout
    eyes = "look like two eyes of one patient"
    assert eyes not in dry.stdout  # `init` has put them together
    dry = typed("finetune", "sa-unet-drive", "My eyes", "--dry-run", "--workspace", "ws")
    assert dry.exit_code == 0 and dry.stdout.count(eyes) == 1 and head not in dry.stdout
    dry = typed("data", "import", "My eyes", "new", "--dry-run")
    assert dry.exit_code == 0 and dry.stdout.count(eyes) == 1
    assert "my-eyes.yaml: is there already" in refusal(typed("init", "My eyes"))
    assert Path("my-eyes.yaml").read_text() == text
    spaced = typed("init", "My eyes", "-o", "my config.yaml")
    assert "`vesselforge run 'my config.yaml' --dry-run`" in spaced.stdout
    assert "run 'my config.yaml' --dry-run" in Path("my config.yaml").read_text()
    nowhere = refusal(typed("init", "My eyes", "-o", "none/eyes.yaml"))
    assert "none/eyes.yaml: cannot be written (No such file or directory); name" in nowhere
    (tmp_path / "My eyes" / "images").rename("bare")
    assert "found no vessel masks" in refusal(typed("init", "bare"))
    assert not Path("bare.yaml").exists()
    dry = typed("finetune", "sa-unet-drive", "bare", "--dry-run", "--workspace", "ws")
    assert "bare: found no vessel masks of" in refusal(dry)
