"""One engine for every page: a header, and sections that are lists of blocks.

All text is escaped by the template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vesselforge.report.formatting import ABSENT, duration, plain, spoken

_NUMBER = re.compile(rf"({ABSENT}|[−+-]?[\d,]*\.?\d+([ ±(%s].*)?)?")
Tile = tuple[str, str, str]
"""Name, value, and what limits it."""


class Block:
    """Something to show. It is false when there is nothing in it, and is then left out."""

    content: Any

    def __bool__(self) -> bool:
        return any(self.content)

    @property
    def kind(self) -> str:
        """How the template shows it."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Text(Block):
    """A paragraph. style: `plain`, `quiet` for those who want to know more, or `heading`."""

    content: str
    style: str = "plain"


@dataclass(frozen=True)
class Note(Block):
    """What has to be known before numbers are read, line by line."""

    title: str
    content: Sequence[str]


@dataclass(frozen=True)
class Figure:
    """A chart as inline SVG, or a picture as a data URI. alt: what a screen reader says."""

    alt: str
    caption: str
    svg: str = ""
    uri: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True)
class Figures(Block):
    """Side by side. layout: `charts`, `pictures`, `pairs` for those twice as wide as high, `strips`
    for very wide ones, each in a line of its own."""

    content: Sequence[Figure | None]
    layout: str = "charts"


@dataclass(frozen=True)
class Table(Block):
    """Rows that name their columns; a cell that a row lacks is absent. names: columns from the left
    that are never numbers, though they may begin with one; all other columns of numbers are set to
    the right."""

    caption: str
    content: list[dict[str, Any]]
    note: str = ""
    sortable: bool = False
    names: int = 1

    @property
    def head(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.content for name in row))

    @property
    def rows(self) -> list[list[str]]:
        head = self.head
        return [[row.get(name, ABSENT) for name in head] for row in self.content]

    @property
    def numeric(self) -> list[bool]:
        """Whether a column is one of numbers."""
        columns = enumerate(zip(*self.rows, strict=True))
        return [i >= self.names and all(map(_NUMBER.fullmatch, column)) for i, column in columns]


@dataclass(frozen=True)
class Fold(Block):
    """Blocks that are shown on demand."""

    title: str
    content: Sequence[Block | None]


@dataclass(frozen=True)
class Section:
    """A part of the page; missing: what it says when there is nothing in it."""

    id: str
    title: str
    blocks: Sequence[Block | None]
    missing: str = ""


@dataclass(frozen=True)
class Page:
    """what: `run` or `study`; record: its run.json. headline: one line; lead: the statistics behind
    it; caveats: what limits the whole; problems: what could not be read, which may grow until the
    page is rendered."""

    what: str
    record: Mapping[str, Any]
    headline: str
    lead: str
    tiles: Sequence[Tile]
    caveats: Sequence[str]
    sections: Sequence[Section]
    problems: Sequence[str]
    notes: Sequence[Note]

    def render(self) -> str:
        """The page as one HTML file that needs nothing but itself."""
        problems = list(dict.fromkeys(self.problems))  # a file may be asked for twice
        notes = [*self.notes, Note(f"While reading this {self.what}", problems)]
        return templates().get_template("page.html.j2").render(page=self, notes=notes)


@cache
def templates() -> Environment:
    """The templates of this room; they escape everything, and what is not there is an error."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plain": plain, "duration": duration, "spoken": spoken}
    return environment


def group(title: str, *blocks: Block) -> list[Block]:
    """Blocks under a heading within a section; none where there is nothing in the first."""
    return [Text(title, "heading"), *blocks] if any(blocks[:1]) else []


def folded(table: Table) -> Fold:
    """A table that is shown on demand; its caption is the title."""
    return Fold(table.caption.rstrip("."), [table])
