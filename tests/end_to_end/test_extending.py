"""docs/extending.md, done as it says, in a copy of the project."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import REPOSITORY, environment, overrides, run
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PAGE = (REPOSITORY / "docs" / "extending.md").read_text()
COMMANDS = re.findall(r"```bash\n(.*?)\n```", PAGE)
TINY = [part for change in overrides() for part in ("--set", change)]


def write(copy: Path, block: str) -> None:
    """One block of Python of the page, where its first line says."""
    first, _, code = block.partition("\n")
    file, place = first.removeprefix("# ").split(", ")
    path = copy / file
    if place == "a new file":
        assert not path.exists()
        path.write_text(code)
        return
    text = path.read_text()
    if place == "at its end":
        text += f"\n\n{code}"
    elif place == "after its first import":
        text, count = re.subn(r"(?m)^(import \w+\n)", rf"\1{code}", text, count=1)
        if not count:
            text = re.sub(r"(?m)^(from __future__ .*\n)", rf"\1{code}", text, count=1)
    else:
        opening = f"\n{place.removeprefix('in ')} = {{\n"
        assert text.count(opening) == 1, place
        text = text.replace(opening, opening + code)
    path.write_text(text)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with everything added that the page adds."""
    made = tmp_path_factory.mktemp("copy") / "project"
    kept = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, kept.split("\0")):
        source = REPOSITORY / name
        if name.partition("/")[0] in ("tests", "docs") or not source.exists():
            continue
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, made / name, follow_symlinks=False)
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        write(made, block)
    eyes = made / "datasets" / "EYES"
    for folder, value in (("photos", 120), ("vessels", 0)):
        (eyes / folder).mkdir(parents=True)
        for id_ in "abcd":
            pixels = np.full((64, 64, 3) if folder == "photos" else (64, 64), value, np.uint8)
            pixels[ord(id_) - 90 : ord(id_) - 80] = 255
            Image.fromarray(pixels).save(eyes / folder / f"{id_}.png")
    return made


ONE_AFTER_THE_OTHER = """
import json, sys
from typer.testing import CliRunner
from vesselforge.cli.main import main
done = [CliRunner().invoke(main, words[1:]) for words in json.loads(sys.argv[1])]
print(json.dumps([[one.exit_code, one.output] for one in done]))
"""
"""What all commands need is loaded once; the verb that is added is there from the start."""


@pytest.fixture(scope="module")
def told(copy: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str]]:
    """Exit status and output of each command of the page."""
    workspace = tmp_path_factory.mktemp("workspace")
    env = environment(home, PYTHONPATH=str(copy), VESSELFORGE_WORKSPACE=str(workspace))
    commands = [shlex.split(command) for command in COMMANDS]
    assert len(commands) == len(ADDED)
    for words in commands:
        assert words[0] == "vesselforge"
        if "quickstart" in words:
            at = words.index("quickstart") + 1
            words[at:at] = TINY  # what the page sets comes last
    said = run([sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(commands)], env, copy)
    assert said.returncode == 0, said.stderr
    return [(status, output) for status, output in json.loads(said.stdout)]


ADDED = {"network": "artifact", "loss": "artifact", "dataset": "sound", "source": "artifact"}
ADDED |= {"verb": "focal"}


@pytest.mark.parametrize("number", range(len(ADDED)), ids=list(ADDED))
def test_what_is_added_works(told: list[tuple[int, str]], number: int) -> None:
    status, output = told[number]
    assert status == 0 and list(ADDED.values())[number] in output, output
