"""The documentation as a site: strict, complete, and at home on a machine without a network."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer.main
from commands import REPOSITORY
from mkdocs.commands.build import build
from mkdocs.config import load_config

from vesselforge.cli.main import main
from vesselforge.configs.settings import PipelineConfig
from vesselforge.configs.study import StudyConfig

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site; any broken link or anchor, and any page that the navigation lacks, is an error."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_MKDOCS_2_WARNING", "1")
        build(load_config(str(REPOSITORY / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


class Loaded(HTMLParser):
    """What a page loads by itself, and the anchors that it has."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors.add(given.get("id", ""))
        if tag != "a":
            self.loads += [
                given[name] for name in ("src", "href", "data", "srcset") if name in given
            ]


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        text = page.read_text()
        for name in Loaded(text).loads:
            assert not re.match(r"(\w+:)?//", name), f"{page}: {name}"
            if name and not name.startswith(("data:", "#")) and page.name != "404.html":
                assert (page.parent / name.partition("?")[0]).exists(), f"{page}: {name}"
        assert 'data-md-component="source"' not in text  # it asks GitHub how popular a project is
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(\w+:)?//", sheet.read_text()), sheet


def groups(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A schema and every group that it names."""
    yield schema
    yield from schema["$defs"].values()


def test_the_page_of_settings_has_every_one(site: Path) -> None:
    text = (site / "settings.html").read_text()
    for model in (PipelineConfig, StudyConfig):
        for group in groups(model.model_json_schema()):
            anchor = "a-run" if model is PipelineConfig else "a-study"
            at = text.index(f'id="{group["title"] if "$defs" not in group else anchor}"')
            table = text[at : text.index("</table>", at)]
            for name, field in group["properties"].items():
                row = table[table.index(f"<td><code>{name}</code></td>") :].split("</tr>")[0]
                for words in re.findall(r"[a-z]{5,}", field.get("description", "").split(";")[0]):
                    assert words in row, (name, words)


def test_the_page_of_the_command_line_has_every_verb_and_option(site: Path) -> None:
    text = (site / "command-line.html").read_text()

    def look(command: Any, name: str) -> int:
        if hasattr(command, "commands"):
            return sum(look(inner, f"{name} {word}") for word, inner in command.commands.items())
        at = text.index(f'<code>{name}</code><a class="headerlink"')
        table = text[at : text.index("</table>", at)]
        for parameter in command.params:
            for word in parameter.opts if parameter.param_type_name == "option" else ():
                assert re.search(rf"<code>{word}[ <]", table), (name, word)
        return 1

    assert look(typer.main.get_command(main), "vesselforge") > 30


def test_links_out_of_docs_lead_to_the_repository(site: Path) -> None:
    text = (site / "study.html").read_text()
    config = "blob/main/configs/compare-drive-cpu.yaml"
    assert f'href="https://github.com/vesselforge/vesselforge/{config}"' in text


def test_broken_links_are_found(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each is a warning, which is an error in a strict build."""
    settings = (REPOSITORY / "mkdocs.yml").read_text()
    hook = REPOSITORY / "docs" / "site" / "hook.py"
    settings = re.sub(r"(?s)nav:\n.*?\n\n", "nav: [a.md, other.md]\n\n", settings, count=1)
    (tmp_path / "mkdocs.yml").write_text(settings.replace("docs/site/hook.py", str(hook)))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text(
        "[x](gone.md) [x](../configs/no.yaml) [x](other.md#no)\n"
    )
    (tmp_path / "docs" / "other.md").write_text("# Other\n")
    (tmp_path / "docs" / "lost.md").write_text("# On no list\n")
    with caplog.at_level(logging.WARNING, "mkdocs"):
        build(load_config(str(tmp_path / "mkdocs.yml"), site_dir=str(tmp_path / "site")))
    for told in (
        "the link to gone.md leads nowhere",
        "the link to ../configs/no.yaml leads nowhere",
        "does not contain an anchor '#no'",
        "lost.md",
    ):
        assert told in caplog.text
