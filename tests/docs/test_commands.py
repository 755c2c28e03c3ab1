"""What README and docs tell people to type, and where their links lead."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from commands import REPOSITORY

from vesselforge.cli.main import main

DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *DOCS.rglob("*.md"), *REPOSITORY.glob("pretrained/*/README.md")]
NAMES = [str(page.relative_to(REPOSITORY)) for page in PAGES]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
ADDED = {("docs/extending.md", "vesselforge segmenter losses")}
"""The verb that this page adds; its own test runs it."""


def lines(text: str) -> Iterator[str]:
    """Command lines of `vesselforge` in the blocks for a shell."""
    for language, block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines() if language in ("bash", "") else ():
            words = line.strip().removeprefix(".venv/bin/")
            if re.match(r"vesselforge [a-z-]", words):
                yield words


@functools.cache
def program() -> Any:
    return typer.main.get_command(main)


def verb(words: list[str]) -> tuple[Any, list[str]]:
    """The command that these words begin with, and the words after it."""
    command = program()
    while words and hasattr(command, "commands"):
        assert words[0] in command.commands, f"no verb {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def found(page: Path) -> list[str]:
    return [*lines(page.read_text())]


@pytest.mark.parametrize("name", NAMES)
def test_commands_in_blocks_can_be_given(name: str) -> None:
    for line in found(REPOSITORY / name):
        if (name, line) in ADDED:
            continue
        command, words = verb(shlex.split(line, comments=True)[1:])
        try:
            command.make_context(line, words).close()
        except Exception as error:  # whatever Typer calls it
            pytest.fail(f"{name}: {line}: {getattr(error, 'message', error)}")


def test_commands_are_found() -> None:
    assert sum(len(found(page)) for page in PAGES) > 80


@pytest.mark.parametrize("name", NAMES)
def test_verbs_and_options_in_text_exist(name: str) -> None:
    text = FENCE.sub("", (REPOSITORY / name).read_text())
    for line in re.findall(r"`vesselforge ([a-z][^`]*)`", text.replace("\n", " ")):
        command, words = verb(re.findall(r"[^\s\[\]]+", line))
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known | {"--help"}, (name, line)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("docs/")])
def test_links_on_pages_outside_the_site_lead_somewhere(name: str) -> None:
    page = REPOSITORY / name
    text = page.read_text()
    assert all((page.parent / name).exists() for name in re.findall(r'src="([^"]*)"', text))
    for target, _, anchor in re.findall(r"\]\((?!\w+:)([^)#]*)(#([^)]*))?\)", text):
        file = page.parent / target if target else page
        assert file.exists(), target
        if anchor:
            heads = re.findall(r"(?m)^#+ (.*)$", file.read_text())
            anchors = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in anchors, f"{target}#{anchor}"
