"""One engine for every page: a header, and sections that are lists of blocks.

A block is something to show: text, a note, a table, figures, a fold with blocks in it. It is false
when there is nothing in it, and is then left out. All text is escaped by the template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vesselforge.report.formatting import ABSENT, duration, plain

_NUMBER = re.compile(r"^[−+-]?[\d,]*\.?\d+([ ±(%s].*)?$")
_HERE = Path(__file__).parent
Tile = tuple[str, str, str]
"""Name, value, and what limits it."""


@dataclass(frozen=True)
class Text:
    """A paragraph. style: `plain`, `quiet` for those who want to know more, or `heading`."""

    kind: ClassVar[str] = "text"
    text: str
    style: str = "plain"

    def __bool__(self) -> bool:
        return bool(self.text)


@dataclass(frozen=True)
class Note:
    """What has to be known before numbers are read."""

    kind: ClassVar[str] = "note"
    title: str
    lines: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.lines)


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
class Figures:
    """Side by side. layout: `charts`, `pictures`, `pairs` for those twice as wide as high, `strips`
    for very wide ones, each in a line of its own."""

    kind: ClassVar[str] = "figures"
    items: Sequence[Figure | None]
    layout: str = "charts"

    def __bool__(self) -> bool:
        return any(self.items)


@dataclass(frozen=True)
class Table:
    """Rows of text under a head. names: columns from the left that are never numbers, though they
    may begin with one; all other columns of numbers are set to the right."""

    kind: ClassVar[str] = "table"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    sortable: bool = False
    names: int = 1

    @classmethod
    def of(cls, caption: str, rows: Sequence[Mapping[str, str]], **options: Any) -> Table:
        """A table whose rows name their columns; a cell that a row lacks is absent."""
        head = list(dict.fromkeys(name for row in rows for name in row))
        return cls(caption, head, [[r.get(n, ABSENT) for n in head] for r in rows], **options)

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def records(self) -> list[dict[str, str]]:
        """Each row with the names of its columns."""
        return [dict(zip(self.head, row, strict=True)) for row in self.rows]

    @property
    def title(self) -> str:
        """The caption, as the title of a fold, within which it is not said again."""
        return self.caption.rstrip(".")

    @property
    def numeric(self) -> list[bool]:
        columns = enumerate(zip(*self.rows, strict=True))
        return [i >= self.names and all(map(_numeric, column)) for i, column in columns]


def _numeric(cell: str) -> bool:
    return cell in (ABSENT, "") or bool(_NUMBER.match(cell))


@dataclass(frozen=True)
class Fold:
    """Blocks that are shown on demand."""

    kind: ClassVar[str] = "fold"
    title: str
    blocks: Sequence[Block | None]

    def __bool__(self) -> bool:
        return any(self.blocks)


Block = Text | Note | Figures | Table | Fold


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
    notes: Sequence[Note] = field(default_factory=list)

    def render(self) -> str:
        """The page as one HTML file that needs nothing but itself."""
        environment = Environment(
            loader=FileSystemLoader(_HERE),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        template = environment.get_template("page.html.j2")
        style, script = (_own(_HERE / f"page.{kind}") for kind in ("css", "js"))
        notes = [*self.notes, Note(f"While reading this {self.what}", self.problems)]
        facts = _facts(self.record)
        return template.render(page=self, notes=notes, facts=facts, style=style, script=script)


def _facts(record: Mapping[str, Any]) -> str:
    """When and how it ended."""
    message = f": {record['message']}" if record.get("message") else ""
    times = " · ".join(f"{key} {plain(record.get(key))}" for key in ("started", "finished"))
    return f"Status {record['status']}{message} · {times} · {duration(record.get('seconds'))}"


def group(title: str, first: Block | None, *others: Block) -> list[Block]:
    """Blocks under a heading within a section; none where there is nothing in the first."""
    return [Text(title, "heading"), first, *others] if first else []


def folded(table: Table) -> Fold:
    return Fold(table.title, [table])


def by_place(tables: Iterable[Table | None]) -> list[Block]:
    """The first table open, each further one in a fold."""
    found = [table for table in tables if table]
    return [*found[:1], *map(folded, found[1:])]


def _own(path: Path) -> Markup:
    return Markup(path.read_text())  # noqa: S704 (our own file, not a reader's: no need to escape)
