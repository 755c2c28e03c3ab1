"""A page as a reader meets it: elements, visible text, tables, and tags that do not match."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from vesselforge.report.writing import report_on

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Elements of a page, its visible text, and whether every tag is closed by its own."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html, self.open, self.faults = html, [], []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        self.faults += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if "style" in self.open or "script" in self.open:
            return
        self.text += data
        if "table" in self.open and self.open[-1] in ("td", "th", "button"):
            self.tables[-1][-1][-1] += data

    def table(self, label: str) -> list[list[str]]:
        """Cells of the table whose label begins so."""
        labels = [a.get("aria-label") or "" for tag, a in self.elements if tag == "table"]
        return self.tables[next(i for i, text in enumerate(labels) if text.startswith(label))]

    @property
    def missing(self) -> list[str]:
        """What sections say that have nothing in them."""
        return re.findall(r'<p class="missing">(.*?)</p>', self.html)

    @property
    def ids(self) -> list[str]:
        return [str(a["id"]) for _, a in self.elements if a.get("id")]


def page_of(made: Any) -> Page:
    """The page of a made-up run or study, written anew."""
    return Page(report_on(made.folder, made.store, force=True).read_text())
