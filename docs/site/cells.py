"""Plain text of the code as Markdown: where it stands in backticks it stays as it is."""

from __future__ import annotations


def plain(text: str) -> str:
    """One line, in which nothing is markup but backticks."""
    parts = " ".join(text.split()).split("`")
    parts[::2] = [part.replace("<", "&lt;").replace("*", "\\*") for part in parts[::2]]
    return "`".join(parts)


def cell(text: str) -> str:
    """The same in a cell of a table."""
    return plain(text).replace("|", "\\|")


def paragraphs(text: str) -> list[str]:
    """Each paragraph as one line."""
    return [plain(part) for part in text.split("\n\n")]
