"""What mkdocs does not do by itself: tables from the code, and links that lead out of docs/."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from command_page import commands
from settings_page import settings

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.links")  # a warning here ends a strict build
TABLES: dict[str, Callable[[], str]] = {"settings": settings, "commands": commands}
"""By the comment in whose place they come: `<!-- settings -->`."""
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page as it is written → as the site has it."""
    folder = Path(page.file.abs_src_path or "").parent
    root = Path(config.config_file_path).parent

    def replaced(match: re.Match[str]) -> str:
        """Files that are no part of the site are shown by the repository."""
        target = Path(os.path.normpath(folder / match[1]))
        if not target.exists():
            log.warning("%s: the link to %s leads nowhere", page.file.src_uri, match[1])
            return match[0]
        inside = target.is_relative_to(config.docs_dir)
        if inside and files.get_file_from_path(target.relative_to(config.docs_dir).as_posix()):
            return match[0]
        kind = "tree" if target.is_dir() else "blob"
        where = target.relative_to(root).as_posix()
        return (
            f"{config.extra['repository']}/{kind}/{config.extra['branch']}/{where}{match[2] or ''}"
        )

    markdown = LINK.sub(replaced, markdown)
    for name, table in TABLES.items():
        if (mark := f"<!-- {name} -->") in markdown:
            markdown = markdown.replace(mark, table())
    return markdown
